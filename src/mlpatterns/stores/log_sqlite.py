"""The LogStore in a file, for all processes of one host: `sqlite:///log.db?max_age_days=30&max_records=10000000`.

Written records survive a kill of the process. With `synchronous=NORMAL` a crash of the machine may lose the last
writes, but does not damage the file. Without options nothing is ever deleted. With options, each write also deletes
records that are too old or too many, the oldest first.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import apsw
import msgspec

from mlpatterns.stores.log import Feedback, FeedbackPage, LogPage, LogQuery, Record
from mlpatterns.stores.log_codec import decode_record, lines_of
from mlpatterns.stores.sqlite_file import SqliteFile, SqliteStore, run_in, sqlite_path
from mlpatterns.stores.urls import bounds_of, split_url

__all__ = ["SqliteLog"]

log = logging.getLogger("mlpatterns")

VERSION = 1  # of the schema, in the file's header
BOUNDS = {"max_age_days": 0, "max_records": 0}
DAY = 86_400.0
SWEEP = 1000  # one write deletes at most this many rows more than it adds, in each table and for each rule
MOST = 10_000  # records in one page

# The first id is the time in microseconds, so that positions from a deleted file come before the ids of a new file.
SCHEMA = f"""
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, prediction_id TEXT NOT NULL, at REAL NOT NULL, path TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX records_by_prediction ON records (prediction_id);
CREATE INDEX records_by_time ON records (at);
CREATE TABLE feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT, prediction_id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    at REAL NOT NULL, by TEXT, UNIQUE (prediction_id, name)
);
CREATE INDEX feedback_by_time ON feedback (at);
INSERT INTO sqlite_sequence (name, seq)
    SELECT column1, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    FROM (VALUES ('records'), ('feedback'));
PRAGMA user_version = {VERSION};
"""  # noqa: S608

# The SQL condition for each field of a query. `body` does not contain fields with default values.
CONDITIONS = {
    "since": "at >= :since",
    "until": "at < :until",
    "path": "(path = :path OR (path > :path || '/' AND path < :path || '0'))",  # '0' comes after '/'
    "prediction_id": "prediction_id = :prediction_id",
    "purpose": "coalesce(body ->> '$.purpose', 'request') = :purpose",
    "role": "coalesce(body ->> '$.role', 'primary') = :role",
    "model": "coalesce(body ->> '$.model', '') = :model",
    "version": "coalesce(body ->> '$.version', '') = :version",
}
# Only for the first page: it uses the index, so that records older than `since` need not be read.
FIRST = "id >= (SELECT min(id) FROM records INDEXED BY records_by_time WHERE at >= :since)"


class LogFile(SqliteFile):
    """Rows of records and of feedback."""

    what = "log file"
    application = 0x6D6C706C  # "mlpl"
    schema = SCHEMA
    synchronous = "normal"

    def __init__(self, path: Path, max_age_days: int, max_records: int) -> None:
        super().__init__(path)
        self._max_age, self._max_records = max_age_days * DAY, max_records

    def _prepare(self, connection: apsw.Connection) -> None:
        super()._prepare(connection)
        if connection.pragma("user_version") != VERSION:
            raise OSError("another version of mlpatterns made it; move it away, or name another file")

    def write(self, records: Sequence[Record]) -> None:
        rows = [(which, at, path, line.decode()) for which, at, path, line in lines_of(records)]
        with self._transaction() as connection:
            connection.executemany("INSERT INTO records VALUES (NULL, ?, ?, ?, ?)", rows)
            self._sweep(connection, len(rows) + SWEEP)

    def read(self, query: LogQuery) -> tuple[list[tuple[int, str]], int]:
        """A page of (id, body), and the position at which it ends."""
        asked = {name: getattr(query, name) for name in CONDITIONS if getattr(query, name) is not None}
        conditions = ["id > :after", *(CONDITIONS[name] for name in asked)]
        if query.since is not None and not query.after and query.prediction_id is None:
            conditions.append(FIRST)
        order = "DESC" if query.newest else "ASC"
        where = " AND ".join(conditions)
        statement = f"SELECT id, body FROM records WHERE {where} ORDER BY id {order} LIMIT :limit"  # noqa: S608
        limit = max(1, min(query.limit, MOST))
        with self._open() as connection:
            rows = list(connection.execute(statement, {**asked, "after": query.after, "limit": limit}))
        if query.newest:
            rows.reverse()
        return rows, rows[-1][0] if rows else query.after

    def add_feedback(self, feedback: Sequence[Feedback]) -> None:
        rows = [(each.prediction_id, each.name, json.dumps(each.value), each.at, each.by) for each in feedback]
        with self._transaction() as connection:
            # Replaced, not updated: changed feedback gets a new id, so that readers find it after their position.
            connection.executemany("INSERT OR REPLACE INTO feedback VALUES (NULL, ?, ?, ?, ?, ?)", rows)

    def read_feedback(self, after: int, limit: int, prediction_id: str | None) -> list[tuple[Any, ...]]:
        condition = "" if prediction_id is None else "AND prediction_id = :prediction_id"
        statement = f"SELECT * FROM feedback WHERE id > :after {condition} ORDER BY id LIMIT :limit"  # noqa: S608
        asked = {"after": after, "limit": max(1, min(limit, MOST)), "prediction_id": prediction_id}
        with self._open() as connection:
            return list(connection.execute(statement, asked))

    def _sweep(self, connection: apsw.Connection, most: int) -> None:
        if self._max_age:
            oldest = (time.time() - self._max_age, most)
            for table in ("records", "feedback"):
                connection.execute(
                    f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE at < ? LIMIT ?)", oldest  # noqa: S608
                )  # fmt: skip
        if self._max_records:
            connection.execute(
                "DELETE FROM records WHERE id IN "
                "(SELECT id FROM records WHERE id <= (SELECT max(id) FROM records) - ? ORDER BY id LIMIT ?)",
                (self._max_records, most),
            )


class SqliteLog(SqliteStore):
    """Records are encoded as lines in the writing thread, if they are not lines yet."""

    def __init__(self, path: Path, max_age_days: int, max_records: int) -> None:
        self._reading, self._writing = (LogFile(path, max_age_days, max_records) for _ in range(2))
        super().__init__(f"log {path.name}", self._reading, self._writing)

    @classmethod
    async def open(cls, url: str) -> Self:
        base, given = split_url(url)
        return cls(sqlite_path(base, "a log"), **bounds_of(url, given, BOUNDS))

    async def write(self, records: Sequence[Record]) -> None:
        await run_in(self._writer, lambda: self._writing.write(records))

    async def read(self, query: LogQuery) -> LogPage:
        def work() -> LogPage:
            rows, after = self._reading.read(query)
            return LogPage(tuple(record for row in rows if (record := _record(*row)) is not None), after)

        return await run_in(self._reader, work)

    async def add_feedback(self, feedback: Sequence[Feedback]) -> None:
        await run_in(self._writer, lambda: self._writing.add_feedback(feedback))

    async def read_feedback(self, after: int = 0, limit: int = 1000, prediction_id: str | None = None) -> FeedbackPage:
        rows = await run_in(self._reader, lambda: self._reading.read_feedback(after, limit, prediction_id))
        found = tuple(Feedback(which, name, json.loads(value), at, by) for _, which, name, value, at, by in rows)
        return FeedbackPage(found, rows[-1][0] if rows else after)


def _record(id: int, body: str) -> Record | None:
    """The record of a row; None if the row was damaged from outside, because it must not stop readers."""
    try:
        return decode_record(body)
    except msgspec.MsgspecError:
        log.warning("record %d of the log cannot be read and is left out", id)
        return None
