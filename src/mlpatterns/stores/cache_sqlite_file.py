"""The file of a cache in SQLite, as one thread uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import apsw

from mlpatterns.stores.sqlite_file import SqliteFile

__all__ = ["CacheFile", "Rows"]

Rows = Sequence[tuple[str, bytes]]  # key and value

ROW = 64  # bytes a row takes beside key and value
SWEEP = 256  # rows past their time that one write takes along

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
    """Reads and writes rows, and evicts what is past the bounds.

    Attributes:
        entries, bytes: in the file, as of the last write here; None before it.
        evictions: rows that had to go before their time, here.
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
        """Rows, each list with its time to live in seconds, in one transaction."""
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
                break  # what the file says of itself is not so
            self.evictions += connection.changes()
            self.entries, self.bytes = _totals(connection)


def _totals(connection: apsw.Connection) -> tuple[int, int]:
    entries, size = next(connection.execute("SELECT entries, bytes FROM totals"))
    assert isinstance(entries, int)
    assert isinstance(size, int)
    return entries, size


def _now() -> int:
    """Milliseconds by the wall clock, which processes share."""
    return int(time.time() * 1000)
