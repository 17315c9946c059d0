"""The file of a cache in SQLite, as one thread uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from mlpatterns.errors import Unavailable

__all__ = ["CacheFile", "Rows"]

Rows = Sequence[tuple[str, bytes]]  # key and value

APPLICATION = 0x6D6C7063  # "mlpc" in the file's header: no file of another program is ever written to
BUSY_MS = 2000  # another process writes
TRIES = 20  # to switch a new file to WAL, which SQLite refuses at once while another process looks at it
WAL_BYTES = 16 * 2**20
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


class CacheFile:
    """A connection that is made when it is needed, and made anew after an error.

    Attributes:
        entries, bytes: in the file, as of the last write here; None before it.
        evictions: rows that had to go before their time, here.

    Raises:
        Unavailable: by every method: the file cannot be used.
    """

    def __init__(self, path: Path, max_entries: int, max_bytes: int) -> None:
        self._path, self._max_entries, self._max_bytes = path, max_entries, max_bytes
        self._connection: apsw.Connection | None = None
        self.entries: int | None = None
        self.bytes: int | None = None
        self.evictions = 0

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def read(self, keys: Sequence[str]) -> list[tuple[str, bytes]]:
        with self._open() as connection:
            found = connection.execute(
                "SELECT key, value FROM entries WHERE key IN (SELECT value FROM json_each(?)) AND ends > ?",
                (json.dumps(list(keys)), _now()),
            )
            return [(str(key), value) for key, value in found if isinstance(value, bytes)]

    def write(self, batch: Sequence[tuple[Rows, float]]) -> None:
        """Rows, each list with its time to live in seconds, in one transaction."""
        with self._open() as connection, _transaction(connection):
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
        with self._open() as connection, _transaction(connection):
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

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        try:
            if self._connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = _connect(self._path)
            yield self._connection
        except (apsw.Error, OSError) as error:
            self._drop()
            raise Unavailable(f"the cache file {self._path.name} cannot be used: {error}") from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY_MS)
        for tries in range(TRIES):
            try:
                _prepare(connection)
                return connection
            except apsw.BusyError:
                if tries == TRIES - 1:
                    raise
                time.sleep(BUSY_MS / 1000 / TRIES)
        raise AssertionError
    except BaseException:
        connection.close(force=True)
        raise


def _prepare(connection: apsw.Connection) -> None:
    if connection.pragma("application_id") != APPLICATION:
        _create(connection)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "normal")
    connection.pragma("journal_size_limit", WAL_BYTES)


def _create(connection: apsw.Connection) -> None:
    with _transaction(connection):
        if connection.pragma("application_id") == APPLICATION:
            return  # another process was quicker
        if connection.execute("SELECT count(*) FROM sqlite_master").get:
            raise OSError("it is the file of another program")
        connection.execute(SCHEMA)
        connection.pragma("application_id", APPLICATION)


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


def _totals(connection: apsw.Connection) -> tuple[int, int]:
    entries, size = next(connection.execute("SELECT entries, bytes FROM totals"))
    assert isinstance(entries, int)
    assert isinstance(size, int)
    return entries, size


def _now() -> int:
    """Milliseconds by the wall clock, which processes share."""
    return int(time.time() * 1000)
