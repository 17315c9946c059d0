"""One way to open a registry's database, whichever of the three it is."""

from __future__ import annotations

from typing import Any

from mlpatterns.errors import MissingExtra, UserError
from mlpatterns.redaction import redact
from mlpatterns.registry import urls
from mlpatterns.registry.drivers import EXTRAS
from mlpatterns.registry.urls import DRIVERS, scheme_of, sqlite_file

try:
    from sqlalchemy import Engine, create_engine, event, make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError
except ImportError as error:
    raise MissingExtra("the registry", "registry") from error

__all__ = ["engine", "unusable", "writing"]

BUSY = 10.0  # seconds to wait for another process's write


def engine(url: str) -> Engine:
    """An engine for a registry URL; connects at first use.

    Raises:
        UserError: for a URL of another kind.
        MissingExtra: if its driver is not installed.
    """
    scheme = scheme_of(url)
    file = sqlite_file(url)
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY}}
    if scheme != "sqlite":
        options = {"connect_args": {"connect_timeout": 5}, "isolation_level": "READ COMMITTED", "pool_pre_ping": True}
    try:
        place = make_url(url).set(drivername=DRIVERS[scheme])
        made = create_engine(place if file is None else place.set(database=str(file)), **options)
    except ImportError as error:
        raise MissingExtra(*EXTRAS[scheme]) from error
    except (ArgumentError, ValueError) as error:
        raise UserError(f"{redact(url)!r} is no database URL") from error
    if scheme == "sqlite":
        event.listen(made, "connect", _prepare_sqlite)
        event.listen(made, "begin", _begin_sqlite)
    return made


def writing(made: Engine) -> Engine:
    """The same engine for transactions that will write: SQLite then takes its lock at the start, where waiting works,
    and not at the first write, where two readers would refuse each other."""
    return made.execution_options(immediate=True)


def unusable(url: str, error: DBAPIError) -> UserError:
    """The sentence for a database that is down, locked, or not a database."""
    return urls.unusable(url, error.orig or error)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # pysqlite would begin transactions late; `_begin_sqlite` begins them
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Any) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
