"""Connections to SQLite files that mlpatterns creates.

A connection is for one thread. Several connections, even from different processes, may use a file at once: with WAL,
readers continue while one connection writes."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal, TypeVar
from urllib.parse import unquote

import apsw

from mlpatterns.errors import Unavailable
from mlpatterns.user_errors import SettingsError

__all__ = ["SqliteFile", "SqliteStore", "is_another", "run_in", "sqlite_path"]

log = logging.getLogger("mlpatterns")

T = TypeVar("T")

SCHEME = "sqlite:///"
BUSY_MS = 2000  # milliseconds to wait while another connection writes
PAUSE = 0.05  # seconds between attempts to switch a new file to WAL; SQLite refuses while another process reads it
WAL_BYTES = 16 * 2**20


class SqliteFile:
    """A connection that is opened at the first use. It is opened again after an error, and if the file was deleted or
    replaced, because no other process would see data in a deleted file.

    Attributes:
        what: the name of the file in error texts.
        application: the application id in the file's header, so that files of other programs are never written.
        schema: the SQL that creates the tables of a new file.
        synchronous: with "full" a commit waits for the disk, and survives a crash of the machine.

    Raises:
        Unavailable: raised by every method if the file cannot be used.
    """

    what: ClassVar[str]
    application: ClassVar[int]
    schema: ClassVar[str]
    synchronous: ClassVar[Literal["normal", "full"]] = "full"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._opened: os.stat_result | None = None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        try:
            if self._connection is not None and is_another(self._path, self._opened):
                # Data written to a deleted file is lost, and other processes do not see it.
                log.warning("the %s %s was deleted or replaced; its contents are lost", self.what, self._path.name)
                self._drop()
            if self._connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = self._connect()
                self._opened = self._path.stat()
            yield self._connection
        except (apsw.Error, OSError) as error:
            self._drop()
            raise Unavailable(f"the {self.what} {self._path.name} cannot be used: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        with self._open() as connection, _transaction(connection):
            yield connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        try:
            connection.set_busy_timeout(BUSY_MS)
            until = time.monotonic() + BUSY_MS / 1000
            while True:
                try:
                    self._prepare(connection)
                    return connection
                except apsw.BusyError:
                    if time.monotonic() >= until:
                        raise
                    time.sleep(PAUSE)
        except BaseException:
            connection.close(force=True)
            raise

    def _prepare(self, connection: apsw.Connection) -> None:
        if connection.pragma("application_id") != self.application:
            self._create(connection)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", self.synchronous)
        connection.pragma("journal_size_limit", WAL_BYTES)

    def _create(self, connection: apsw.Connection) -> None:
        with _transaction(connection):
            if connection.pragma("application_id") == self.application:
                return  # another process has just created it
            if connection.execute("SELECT count(*) FROM sqlite_master").get:
                raise OSError("it is the file of another program")
            connection.execute(self.schema)
            connection.pragma("application_id", self.application)


class SqliteStore:
    """A reading thread and a writing thread, each with its own connection. With WAL they can work at the same time."""

    def __init__(self, name: str, reading: SqliteFile, writing: SqliteFile) -> None:
        self._reader, self._writer = (ThreadPoolExecutor(1, thread_name_prefix=name) for _ in range(2))
        self._files = ((self._reader, reading), (self._writer, writing))

    async def close(self) -> None:
        for thread, file in self._files:
            await run_in(thread, file.close)
            thread.shutdown(wait=False)


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    """A transaction that takes the write lock at once. If it took the lock later, it could fail in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_another(path: Path, opened: os.stat_result | None) -> bool:
    """Whether `path` is no longer the opened file, because the file was replaced or deleted."""
    try:
        return opened is not None and not os.path.samestat(path.stat(), opened)
    except FileNotFoundError:
        return opened is not None
    except OSError:
        return False  # its state is unknown; the open file may still be the right one


def sqlite_path(base: str, what: str) -> Path:
    """The file of `base`, a URL without its query. In the path, `?`, `%` and `#` must be escaped as `%3F` and so on.

    Args:
        what: what is stored there, for error texts, such as "a cache".

    Raises:
        SettingsError: the URL does not name a file.
    """
    path = base.removeprefix(SCHEME)
    if path == base or not path or path == ":memory:":
        raise SettingsError(f"{what} in SQLite is a file: write sqlite:///{what.split()[-1]}.db, not {base}")
    return Path(unquote(path))


async def run_in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.wrap_future(thread.submit(work))
