"""Upgrades a registry's tables to the newest revision. Several processes may do this at any time, also at once."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlpatterns.model_db.database import engine, unusable, writing
from mlpatterns.redaction import redact
from mlpatterns.registry.urls import empty_file, sqlite_file
from mlpatterns.user_errors import UserError

from sqlalchemy import Connection, Engine, inspect, text  # isort: skip - after `database`, which names the extra
from sqlalchemy.exc import DBAPIError  # isort: skip

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["HEAD", "Create", "upgrade"]

HEAD = "0003"
LOCK_KEY = 5_812_093_441  # an arbitrary number that identifies PostgreSQL's advisory lock
LOCK_NAME = "mlpatterns.model_db.upgrade"
PAUSE = 0.1  # seconds between two attempts to take the lock of an upgrade
NOT_MADE = "there is no registry yet; `mlpatterns train NAME` or `mlpatterns registry import` makes one"

Create = Literal["always", "missing", "never"]
"""Where tables may be created: ``always``: in any database without tables; ``missing``: in such a database, but not in
an SQLite file that exists; ``never``: nowhere."""


def upgrade(url: str, *, create: Create = "always") -> Engine:
    """Updates the tables at `url`, or creates them, and returns an engine for them.

    Args:
        create: which databases without tables get them. Code that registers a model passes ``always``, the service of
            the model DB ``missing``, and code that only reads or changes rows ``never``.

    Raises:
        RegistryDown: `url` is an SQLite file without tables, and `create` does not allow creating them there.
        UserError: the database cannot be used, is newer than this program, or does not exist and may not be created.
        MissingExtra: SQLAlchemy or the driver is not installed.
    """
    file = sqlite_file(url)
    if create == "never" and file is not None and not file.exists():
        raise UserError(NOT_MADE)
    made = engine(url)
    try:
        if (file is None or file.exists()) and _is_current(made):
            return made  # without the lock, which needs a folder that can be written
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with _file_lock(file):
            damaged = empty_file(url) if file is not None and file.exists() else None
            may_create = create == "always" or (create == "missing" and damaged is None)
            _upgrade(made, url, refusal=None if may_create else damaged or UserError(NOT_MADE))
    except UserError:
        made.dispose()
        raise
    except DBAPIError as error:
        made.dispose()
        raise unusable(url, error) from error
    except OSError as error:
        made.dispose()
        raise UserError(f"the registry at {redact(url)} cannot be used: {error.strerror or error}") from error
    return made


def _is_current(made: Engine) -> bool:
    with made.connect() as connection:
        return _revision(connection) == HEAD


def _upgrade(made: Engine, url: str, *, refusal: UserError | None) -> None:
    """Migrates the tables. If there are none, raises `refusal`, or creates them if it is None."""
    with writing(made).connect() as connection:
        revision = _revision(connection)
        connection.rollback()
        if revision == HEAD:
            return
        if revision is None and refusal is not None:
            raise refusal
        if revision is not None and revision > HEAD:
            raise UserError(
                f"the registry at {redact(url)} was made by a newer mlpatterns (revision {revision}); update it"
            )
        with _database_lock(connection), connection.begin():
            _migrate(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection) -> None:
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def configuration() -> Config:
    """Alembic's configuration, with the packaged scripts and without an alembic.ini."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@contextmanager
def _file_lock(file: Path | None) -> Iterator[None]:
    """For SQLite, a lock on a file beside the database. The operating system releases it when the process ends."""
    if file is None:
        yield
        return
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _database_lock(connection: Connection) -> Iterator[None]:
    """For a database server, a lock of the session: MariaDB commits each DDL statement, so a transaction does not
    suffice.

    No statement waits for the lock, because a server that does not answer for long counts as down.
    """
    take, give = {
        "postgresql": (f"SELECT pg_try_advisory_lock({LOCK_KEY})", f"SELECT pg_advisory_unlock({LOCK_KEY})"),
        "mysql": (f"SELECT GET_LOCK('{LOCK_NAME}', 0)", f"SELECT RELEASE_LOCK('{LOCK_NAME}')"),
    }.get(connection.dialect.name, ("", ""))
    if not take:
        yield
        return
    while not connection.execute(text(take)).scalar():
        connection.commit()
        time.sleep(PAUSE)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text(give))
        connection.commit()
