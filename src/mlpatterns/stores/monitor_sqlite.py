"""The MonitorStore in a file, for all processes of one host: `sqlite:///monitor.db?max_windows=10000`.

Written data survives a kill of the process. The store keeps the last `max_windows` windows of each monitor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import apsw
import msgspec
from msgspec.structs import replace

from mlpatterns.errors import Conflict
from mlpatterns.stores.monitor import MonitorCheckpoint, Window
from mlpatterns.stores.sqlite_file import SqliteFile, SqliteStore, run_in, sqlite_path
from mlpatterns.stores.urls import bounds_of, split_url

__all__ = ["SqliteMonitor"]

VERSION = 1  # of the schema, in the file's header
BOUNDS = {"max_windows": 10_000}
MOST = 1000  # windows that one call returns
SCHEMA = f"""
CREATE TABLE windows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, version TEXT NOT NULL, ended REAL NOT NULL,
    told INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX windows_by_path ON windows (path, id);
CREATE INDEX windows_untold ON windows (path, id) WHERE told = 0;
CREATE TABLE checkpoints (path TEXT PRIMARY KEY, holder TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


class MonitorFile(SqliteFile):
    """Rows of windows, and one checkpoint for each monitor."""

    what = "monitor's file"
    application = 0x6D6C706D  # "mlpm"
    schema = SCHEMA

    def __init__(self, path: Path, max_windows: int) -> None:
        super().__init__(path)
        self._most = max_windows

    def _prepare(self, connection: apsw.Connection) -> None:
        super()._prepare(connection)
        if connection.pragma("user_version") != VERSION:
            raise OSError("another version of mlpatterns made it; move it away, or name another file")

    def claim(self, path: str, holder: str, first: bytes) -> bytes:
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO checkpoints VALUES (?1, ?2, ?3) ON CONFLICT (path) DO UPDATE SET holder = ?2",
                (path, holder, first),
            )
            found: bytes = connection.execute("SELECT body FROM checkpoints WHERE path = ?", (path,)).get
            return found

    def save(self, path: str, checkpoint: bytes, windows: Sequence[tuple[Any, ...]], holder: str) -> None:
        with self._transaction() as connection:
            mine = "UPDATE checkpoints SET body = ? WHERE path = ? AND holder = ?"
            connection.execute(mine, (checkpoint, path, holder))
            if not connection.changes():
                raise Conflict("another process has taken over this monitor")
            if windows:
                connection.executemany("INSERT INTO windows VALUES (NULL, ?, ?, ?, ?, ?)", windows)
                connection.execute(
                    "DELETE FROM windows WHERE path = :path AND id <= "
                    "(SELECT id FROM windows WHERE path = :path ORDER BY id DESC LIMIT 1 OFFSET :most)",
                    {"path": path, "most": self._most},
                )

    def windows(self, path: str, version: str | None, limit: int) -> list[tuple[int, bytes]]:
        asked = {"path": path, "version": version, "limit": max(0, min(limit, MOST))}
        with self._open() as connection:
            return list(connection.execute(
                "SELECT id, body FROM windows WHERE path = :path AND (:version IS NULL OR version = :version) "
                "ORDER BY id DESC LIMIT :limit", asked))  # fmt: skip

    def unnotified(self, path: str, since: float, limit: int) -> list[tuple[int, bytes]]:
        with self._open() as connection:
            return list(connection.execute(
                "SELECT id, body FROM windows WHERE path = ? AND told = 0 AND ended >= ? ORDER BY id LIMIT ?",
                (path, since, limit)))  # fmt: skip

    def mark_notified(self, path: str, number: int) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE windows SET told = 1 WHERE path = ? AND id = ?", (path, number))


class SqliteMonitor(SqliteStore):
    """Each call is one transaction, because calls are small and rare."""

    def __init__(self, path: Path, max_windows: int) -> None:
        self._reading, self._writing = (MonitorFile(path, max_windows) for _ in range(2))
        super().__init__(f"monitor {path.name}", self._reading, self._writing)

    @classmethod
    async def open(cls, url: str) -> Self:
        base, given = split_url(url)
        return cls(sqlite_path(base, "a monitor"), **bounds_of(url, given, BOUNDS))

    async def claim(self, path: str, holder: str) -> MonitorCheckpoint:
        first = msgspec.json.encode(MonitorCheckpoint())
        body = await run_in(self._writer, lambda: self._writing.claim(path, holder, first))
        return msgspec.json.decode(body, type=MonitorCheckpoint)

    async def save(
        self, path: str, checkpoint: MonitorCheckpoint, windows: Sequence[Window], *, holder: str, notify: bool
    ) -> None:
        def work() -> None:
            rows = [(path, window.version, window.ended, int(not (notify and (window.raised or window.cleared))),
                     msgspec.json.encode(window)) for window in windows]  # fmt: skip
            self._writing.save(path, msgspec.json.encode(checkpoint), rows, holder)

        await run_in(self._writer, work)

    async def windows(self, path: str, *, version: str | None = None, limit: int = 20) -> tuple[Window, ...]:
        return _decoded(await run_in(self._reader, lambda: self._reading.windows(path, version, limit)))

    async def unnotified(self, path: str, since: float, limit: int = 10) -> tuple[Window, ...]:
        return _decoded(await run_in(self._reader, lambda: self._reading.unnotified(path, since, limit)))

    async def mark_notified(self, path: str, number: int) -> None:
        await run_in(self._writer, lambda: self._writing.mark_notified(path, number))


def _decoded(rows: Sequence[tuple[int, bytes]]) -> tuple[Window, ...]:
    return tuple(replace(_decoder.decode(body), number=number) for number, body in rows)


_decoder = msgspec.json.Decoder(Window)
