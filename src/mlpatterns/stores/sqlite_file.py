"""A file of ours in SQLite, as one thread uses it. Several connections, also of several processes, may use it at once:
WAL lets readers go on while one writes."""

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
BUSY_MS = 2000  # another process writes
PAUSE = 0.05  # seconds between attempts to switch a new file to WAL, which SQLite refuses while another looks at it
WAL_BYTES = 16 * 2**20


class SqliteFile:
    """A connection that is made when it is needed, and made anew after an error, or when the file was deleted or
    replaced: what is written to a deleted file no other process would ever see.

    Attributes:
        what: the words for it in an error.
        application: stands in the file's header, so that no file of another program is ever written to.
        schema: what a new file holds.
        synchronous: with "full" a commit waits for the disk, and outlives the machine's going down.

    Raises:
        Unavailable: by every method: the file cannot be used.
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
                # What is written to a file that was deleted is lost, and other processes do not see it.
                log.warning("the %s %s was deleted or replaced; what was in it is gone", self.what, self._path.name)
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
                return  # another process was quicker
            if connection.execute("SELECT count(*) FROM sqlite_master").get:
                raise OSError("it is the file of another program")
            connection.execute(self.schema)
            connection.pragma("application_id", self.application)


class SqliteStore:
    """A thread that reads and one that writes, each with a connection of its own: WAL lets them work side by side."""

    def __init__(self, name: str, reading: SqliteFile, writing: SqliteFile) -> None:
        self._reader, self._writer = (ThreadPoolExecutor(1, thread_name_prefix=name) for _ in range(2))
        self._files = ((self._reader, reading), (self._writer, writing))

    async def close(self) -> None:
        for thread, file in self._files:
            await run_in(thread, file.close)
            thread.shutdown(wait=False)


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    """Begun as a writer's at once: one that begins as a reader's may find that it cannot become one."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_another(path: Path, opened: os.stat_result | None) -> bool:
    """Whether the path names another file than the one that was opened, or none any more."""
    try:
        return opened is not None and not os.path.samestat(path.stat(), opened)
    except FileNotFoundError:
        return opened is not None
    except OSError:
        return False  # it cannot be seen now: what is open may still be it


def sqlite_path(base: str, what: str) -> Path:
    """The file that `base`, a URL without its query, names. Of its path, `?`, `%` and `#` are written `%3F` and so on.

    Args:
        what: what is kept there, as in "a cache".

    Raises:
        SettingsError: it names none.
    """
    path = base.removeprefix(SCHEME)
    if path == base or not path or path == ":memory:":
        raise SettingsError(f"{what} in SQLite is a file: write sqlite:///{what.split()[-1]}.db, not {base}")
    return Path(unquote(path))


async def run_in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.wrap_future(thread.submit(work))
