"""Opens a registry's database (SQLite, PostgreSQL or MariaDB), and writes to it while other processes do too."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from mlpatterns.redaction import redact
from mlpatterns.registry import urls
from mlpatterns.registry.drivers import EXTRAS
from mlpatterns.registry.urls import DRIVERS, scheme_of, sqlite_file
from mlpatterns.stores.postgres_blocking import connect_blocking
from mlpatterns.user_errors import MissingExtra, UserError

try:
    from sqlalchemy import Engine, create_engine, event, make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
    from sqlalchemy.orm import Session
except ImportError as error:
    raise MissingExtra("the registry", "registry") from error

__all__ = ["Writer", "engine", "unusable", "writing"]

BUSY = 10.0  # seconds to wait for another process's write, and for a server to answer
CONNECT_SECONDS = 5
ATTEMPTS = 20
PAUSE = 0.02  # seconds by which the longest pause grows with each attempt

T = TypeVar("T")


def engine(url: str) -> Engine:
    """An engine for a registry URL. It connects at first use.

    Raises:
        UserError: `url` is not a database URL.
        MissingExtra: the driver of the database is not installed.
    """
    scheme = scheme_of(url)
    file = sqlite_file(url)
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY}}
    if scheme != "sqlite":
        limits: dict[str, float] = {"connect_timeout": CONNECT_SECONDS}
        if scheme == "mysql":
            limits |= {"read_timeout": BUSY, "write_timeout": BUSY}
        options = {"connect_args": limits, "isolation_level": "READ COMMITTED", "pool_pre_ping": True}
    try:
        place = make_url(url).set(drivername=DRIVERS[scheme])
        made = create_engine(place if file is None else place.set(database=str(file)), **options)
    except ImportError as error:
        raise MissingExtra(*EXTRAS[scheme]) from error
    except (ArgumentError, ValueError) as error:
        raise UserError(f"{redact(url)!r} is not a database URL") from error
    if scheme == "sqlite":
        event.listen(made, "connect", _prepare_sqlite)
        event.listen(made, "begin", _begin_sqlite)
    elif scheme == "postgresql":
        event.listen(made, "do_connect", _connect_postgresql)
    return made


def writing(made: Engine) -> Engine:
    """The same engine for transactions that write. With SQLite, such a transaction takes the write lock when it begins,
    where it can wait for the lock. At the first write, two transactions that have read would fail instead."""
    return made.execution_options(immediate=True)


class Writer:
    """Runs work in a transaction.

    Attributes:
        unsure: whether a commit was sent but its answer was lost, so the transaction may be committed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.unsure = False

    def run(self, work: Callable[[Session], T]) -> T:
        """Calls `work`, commits, and returns its result. `work` is called again if it conflicts with another
        transaction, so it must read everything that it needs itself.

        Raises:
            DBAPIError: the database cannot be used, or every attempt conflicted with another transaction.
            Exception: any error that `work` raised; then nothing is written.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._once(work)
            except (IntegrityError, OperationalError) as error:
                if not _may_pass(error) or attempt == ATTEMPTS - 1:
                    raise
                self.unsure = False  # the database refused the commit
                time.sleep(random.uniform(0, PAUSE * (attempt + 1)))  # noqa: S311 - so that two do not collide again
        raise AssertionError

    def _once(self, work: Callable[[Session], T]) -> T:
        with Session(writing(self._engine), expire_on_commit=False) as session:
            result = work(session)
            session.flush()
            self.unsure = True
            session.commit()
            self.unsure = False
            return result


def unusable(url: str, error: DBAPIError) -> UserError:
    """The error for a database that is down or locked, or for a file that is not a database."""
    return urls.unusable(url, error.orig or error)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # pysqlite would begin transactions late; `_begin_sqlite` begins them
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _connect_postgresql(_dialect: Any, _record: Any, place: Any, options: Any) -> Any:
    return connect_blocking(BUSY, *place, **options)


def _begin_sqlite(connection: Any) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _may_pass(error: DBAPIError) -> bool:
    """Whether another attempt may succeed: another process wrote first or has the lock, or a deadlock was resolved."""
    text = str(error.orig).lower()
    return isinstance(error, IntegrityError) or "deadlock" in text or "database is locked" in text
