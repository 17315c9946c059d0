"""The CacheStore in a file, for all workers of one host: `sqlite:///cache.db?max_entries=1000000&max_bytes=256MiB`.

Written entries survive a kill of the process. With `synchronous=NORMAL` a crash of the machine may lose the last
writes, but does not damage the file. A lost entry is only computed again, so writes need not wait for the disk.
The oldest entries are evicted first, not the least recently used: to record each use, every read would have to write.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Self

import apsw

from mlpatterns.stores.cache import CacheEntry, CacheUsage
from mlpatterns.stores.cache_codec import decode_entry, encode_entry
from mlpatterns.stores.sqlite_file import SqliteFile, SqliteStore, run_in, sqlite_path
from mlpatterns.stores.urls import bounds_of, split_url
from mlpatterns.tensors import DamagedData, Unstorable

__all__ = ["SqliteCache"]

Rows = Sequence[tuple[str, bytes]]  # key and value

ROW = 64  # bytes of a row in addition to key and value
SWEEP = 256  # expired rows that one write deletes
BOUNDS = {"max_entries": 1_000_000, "max_bytes": 256 * 2**20}

SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL, size INTEGER NOT NULL, ends INTEGER NOT NULL
);
CREATE INDEX entries_by_end ON entries (ends);
CREATE TABLE totals (entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
    UPDATE totals SET entries = entries + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
    UPDATE totals SET entries = entries - 1, bytes = bytes - old.size;
END;
"""


class CacheFile(SqliteFile):
    """Reads and writes rows, and evicts rows when the file exceeds its bounds.

    Attributes:
        entries, bytes: in the file after the last write through this object; None before it.
        evictions: rows that this object removed before they expired.
    """

    what = "cache file"
    application = 0x6D6C7063  # "mlpc"
    schema = SCHEMA
    synchronous = "normal"

    def __init__(self, path: Path, max_entries: int, max_bytes: int) -> None:
        super().__init__(path)
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self.entries: int | None = None
        self.bytes: int | None = None
        self.evictions = 0

    def read(self, keys: Sequence[str]) -> list[tuple[str, bytes]]:
        with self._open() as connection:
            found = connection.execute(
                "SELECT key, value FROM entries WHERE key IN (SELECT value FROM json_each(?)) AND ends > ?",
                (json.dumps(list(keys)), _now()),
            )
            return [(str(key), value) for key, value in found if isinstance(value, bytes)]

    def write(self, batch: Sequence[tuple[Rows, float]]) -> None:
        """Writes lists of rows in one transaction. Each list has its time to live in seconds."""
        with self._transaction() as connection:
            now = _now()
            for rows, ttl in batch:
                for key, value in rows:
                    connection.execute("DELETE FROM entries WHERE key = ?", (key,))
                    size = len(key) + len(value) + ROW
                    ends = now + max(1, int(ttl * 1000))
                    connection.execute("INSERT INTO entries VALUES (NULL, ?, ?, ?, ?)", (key, value, size, ends))
            connection.execute(
                "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE ends <= ? LIMIT ?)", (now, SWEEP)
            )
            self._evict(connection)

    def clear(self, prefix: str) -> int:
        with self._transaction() as connection:
            connection.execute("DELETE FROM entries WHERE key >= ?1 AND key < ?1 || char(1114111)", (prefix,))
            cleared = connection.changes()
            self.entries, self.bytes = _totals(connection)
        return cleared

    def _evict(self, connection: apsw.Connection) -> None:
        self.entries, self.bytes = _totals(connection)
        while self.entries > self._max_entries or self.bytes > self._max_bytes:
            many = max(1, self.entries - self._max_entries, self.entries // 64)
            connection.execute("DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?)", (many,))
            if not connection.changes():
                break  # the totals in the file are wrong
            self.evictions += connection.changes()
            self.entries, self.bytes = _totals(connection)


class SqliteCache(SqliteStore):
    """Writes that arrive during another write are committed together."""

    instant = False

    def __init__(self, path: Path, max_entries: int, max_bytes: int) -> None:
        self._reading, self._writing = (CacheFile(path, max_entries, max_bytes) for _ in range(2))
        super().__init__(f"cache {path.name}", self._reading, self._writing)
        self._waiting: deque[tuple[Rows, float, Future[None]]] = deque()
        self._damaged = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        base, given = split_url(url)
        return cls(sqlite_path(base, "a cache"), **bounds_of(url, given, BOUNDS))

    @property
    def usage(self) -> CacheUsage:
        """The usage after the last write of this process."""
        file = self._writing
        return CacheUsage(file.entries, file.bytes, file.evictions, self._damaged)

    async def get(self, key: str) -> CacheEntry | None:
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheEntry]:
        found = {}
        for key, value in await run_in(self._reader, lambda: self._reading.read(keys)):
            try:
                found[key] = decode_entry(key, value)
            except DamagedData:
                self._damaged += 1
        return found

    async def set_many(self, entries: Mapping[str, CacheEntry], ttl: float) -> None:
        rows = []
        for key, entry in entries.items():
            try:
                rows.append((key, encode_entry(key, entry)))
            except Unstorable:
                self._damaged += 1
        written: Future[None] = Future()
        self._waiting.append((rows, ttl, written))
        self._writer.submit(self._write_all)
        await asyncio.wrap_future(written)

    async def clear(self, prefix: str) -> int:
        return await run_in(self._writer, lambda: self._writing.clear(prefix))

    def _write_all(self) -> None:
        """Writes all waiting entries in one transaction. Runs in the writing thread."""
        batch: list[tuple[Rows, float, Future[None]]] = []
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting[2].set_running_or_notify_cancel():
                batch.append(waiting)
        if not batch:
            return  # an earlier call has already written them
        try:
            self._writing.write([(rows, ttl) for rows, ttl, _ in batch])
        except BaseException as error:
            for _, _, written in batch:
                written.set_exception(error)
        else:
            for _, _, written in batch:
                written.set_result(None)


def _totals(connection: apsw.Connection) -> tuple[int, int]:
    entries, size = next(connection.execute("SELECT entries, bytes FROM totals"))
    assert isinstance(entries, int)
    assert isinstance(size, int)
    return entries, size


def _now() -> int:
    """Milliseconds of the wall clock, which all processes share."""
    return int(time.time() * 1000)
