"""Opening a registry's database, whichever of the three it is, and writing to it while other processes do."""

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
PAUSE = 0.02  # seconds; each attempt may wait that much longer than the one before

T = TypeVar("T")


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
    """The same engine for transactions that write: SQLite then takes its lock when they begin, where it can wait, and
    not at the first write, where two readers would refuse each other."""
    return made.execution_options(immediate=True)


class Writer:
    """Runs work in a transaction.

    Attributes:
        unsure: a commit was sent and its answer was lost, so it may have been carried out.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.unsure = False

    def run(self, work: Callable[[Session], T]) -> T:
        """Calls `work`, commits, and returns its result. It is called again if another transaction made the same row
        first, so it must read all that it needs itself.

        Raises:
            DBAPIError: the database cannot be used, or every attempt conflicted with another transaction.
            Exception: any that `work` raised; then nothing is written.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._once(work)
            except (IntegrityError, OperationalError) as error:
                if not _may_pass(error) or attempt == ATTEMPTS - 1:
                    raise
                self.unsure = False  # the database refused it
                time.sleep(random.uniform(0, PAUSE * (attempt + 1)))  # noqa: S311 - to part two processes
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
    """The sentence for a database that is down, locked, or not a database."""
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
    """Whether another try may succeed: another process was first or has the lock, or the database broke a deadlock."""
    text = str(error.orig).lower()
    return isinstance(error, IntegrityError) or "deadlock" in text or "database is locked" in text
