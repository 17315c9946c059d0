"""The ControlStore in a file, for all processes of one host: `sqlite:///control.db`.

Written data survives a kill of the process. It also survives a crash of the machine (`synchronous=FULL`), if the disk
keeps what it has acknowledged. The file must be on a local disk: SQLite's WAL does not work over a network.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from mlpatterns.errors import Unavailable
from mlpatterns.interfaces import Document
from mlpatterns.stores.control_codec import KEPT, conflict, document, encode_value
from mlpatterns.stores.sqlite_file import SqliteFile, SqliteStore, run_in, sqlite_path
from mlpatterns.stores.urls import split_url
from mlpatterns.user_errors import SettingsError

__all__ = ["SqliteControl"]

T = TypeVar("T")

SECONDS = 4.0  # for one call; SQLite itself waits 2 s for another writer
NEWEST = "SELECT value, revision, by, at FROM changes WHERE key = ? ORDER BY revision DESC LIMIT ?"
SCHEMA = """
CREATE TABLE changes (
    key TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL, by TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (key, revision)
) WITHOUT ROWID;
"""


class ControlFile(SqliteFile):
    """The last changes of each document. The newest change is the current document."""

    what = "control file"
    application = 0x6D6C7073  # "mlps"
    schema = SCHEMA

    def read(self, key: str, limit: int) -> list[tuple[Any, ...]]:
        """The last changes as (value, revision, by, at), newest first."""
        with self._open() as connection:
            return list(connection.execute(NEWEST, (key, limit)))

    def read_many(self, keys: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """The newest change of each document that exists."""
        with self._open() as connection, connection:  # one transaction: a consistent read of all documents
            found = {key: connection.execute(NEWEST, (key, 1)).fetchone() for key in keys}
        return {key: row for key, row in found.items() if row is not None}

    def write(self, key: str, value: bytes, expected: int | None, by: str) -> tuple[int, float]:
        """Writes a change; returns its revision and its time.

        Raises:
            Conflict: the stored revision is not `expected`.
        """
        with self._transaction() as connection:
            stored = connection.execute("SELECT max(revision) FROM changes WHERE key = ?", (key,)).get
            if stored != expected:
                raise conflict(key, stored, expected)
            revision, at = int(stored or 0) + 1, time.time()
            connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", (key, revision, value, by, at))
            connection.execute("DELETE FROM changes WHERE key = ? AND revision <= ?", (key, revision - KEPT))
            return revision, at


class SqliteControl(SqliteStore):
    """Each call ends within a few seconds, even if a thread hangs."""

    def __init__(self, path: Path) -> None:
        self._where = path.name
        self._reading, self._writing = ControlFile(path), ControlFile(path)
        super().__init__(f"control {path.name}", self._reading, self._writing)

    @classmethod
    async def open(cls, url: str) -> Self:
        base, options = split_url(url)
        if options:
            raise SettingsError(f"{base} takes no options, but has {', '.join(sorted(options))[:64]!r}")
        return cls(sqlite_path(base, "control"))

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        found = await self._run(self._reader, lambda: self._reading.read_many(keys))
        return {key: document(key, *row) for key, row in found.items()}

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        encoded = encode_value(key, value, by)
        revision, at = await self._run(self._writer, lambda: self._writing.write(key, encoded, expected, by))
        return document(key, encoded, revision, by, at)

    async def history(self, key: str, limit: int = 20) -> list[Document[Any]]:
        newest = await self._run(self._reader, lambda: self._reading.read(key, max(0, limit)))
        return [document(key, *row) for row in newest]

    async def _run(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(SECONDS):
                return await run_in(thread, work)
        except TimeoutError as error:
            raise Unavailable(f"the control file {self._where} does not answer") from error
