"""The ControlStore in a file, for all processes of one host: `sqlite:///control.db`.

What was written survives a kill of the process and, if the disk keeps what it acknowledged, of the machine
(`synchronous=FULL`). The file must lie on a disk of the host: SQLite's WAL does not work over a network.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from mlpatterns.errors import SettingsError, StoreDown, Unavailable
from mlpatterns.predictor import Change, Document
from mlpatterns.stores.control_codec import KEPT, conflict, decode_value, encode_value
from mlpatterns.stores.sqlite_file import SqliteFile, run_in, sqlite_path
from mlpatterns.stores.urls import split_url

__all__ = ["SqliteControl"]

T = TypeVar("T")

SECONDS = 4.0  # for one call: SQLite itself waits two for another writer
NEWEST = "SELECT value, revision, by, at FROM changes WHERE key = ? ORDER BY revision DESC LIMIT ?"
SCHEMA = """
CREATE TABLE changes (
    key TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL, by TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (key, revision)
) WITHOUT ROWID;
"""


class ControlFile(SqliteFile):
    """The last changes of each document; the newest is the document."""

    what = "control file"
    application = 0x6D6C7073  # "mlps"
    schema = SCHEMA

    def read(self, key: str, limit: int) -> list[tuple[Any, ...]]:
        """(value, revision, by, at) of the last changes, newest first."""
        with self._open() as connection:
            return list(connection.execute(NEWEST, (key, limit)))

    def write(self, key: str, value: bytes, expected: int | None, by: str) -> int:
        """The new revision.

        Raises:
            Conflict: what is stored is not at `expected`.
        """
        with self._transaction() as connection:
            stored = connection.execute("SELECT max(revision) FROM changes WHERE key = ?", (key,)).get
            if stored != expected:
                raise conflict(key, stored, expected)
            revision = int(stored or 0) + 1
            connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", (key, revision, value, by, time.time()))
            connection.execute("DELETE FROM changes WHERE key = ? AND revision <= ?", (key, revision - KEPT))
            return revision


class SqliteControl:
    """A thread that reads and one that writes, each with a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._where = path.name
        self._reading, self._writing = ControlFile(path), ControlFile(path)
        self._reader, self._writer = (
            ThreadPoolExecutor(1, thread_name_prefix=f"control {path.name}") for _ in range(2)
        )

    @classmethod
    async def open(cls, url: str) -> Self:
        base, options = split_url(url)
        if options:
            raise SettingsError(f"{base} takes no options, but has {', '.join(sorted(options))[:64]!r}")
        store = cls(sqlite_path(base, "control"))
        try:
            await store.get("")
        except Unavailable as error:
            await store.close()
            raise StoreDown(f"{error.message}; set `control` to a file that can be") from error
        return store

    async def close(self) -> None:
        for thread, file in ((self._reader, self._reading), (self._writer, self._writing)):
            await run_in(thread, file.close)
            thread.shutdown(wait=False)

    async def get(self, key: str) -> Document | None:
        newest = await self._run(self._reader, lambda: self._reading.read(key, 1))
        return Document(key, decode_value(key, newest[0][0]), newest[0][1]) if newest else None

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document:
        encoded = encode_value(key, value, by)
        revision = await self._run(self._writer, lambda: self._writing.write(key, encoded, expected, by))
        return Document(key, decode_value(key, encoded), revision)

    async def history(self, key: str, limit: int = 20) -> list[Change]:
        newest = await self._run(self._reader, lambda: self._reading.read(key, max(0, limit)))
        return [Change(key, decode_value(key, value), *rest) for value, *rest in newest]

    async def _run(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(SECONDS):
                return await run_in(thread, work)
        except TimeoutError as error:
            raise Unavailable(f"the control file {self._where} does not answer") from error
