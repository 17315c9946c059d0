"""The file of an SQLite JobStore: its tables, and functions for the steps of a transaction.

Lists of jobs are passed to and from SQLite as one JSON text, which needs fewer calls. Each call of SQLite releases the
GIL and must acquire it again, and under load this takes longer than the query.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from mlpatterns.stores.jobs import JobState
from mlpatterns.stores.sqlite_file import BUSY_MS, SqliteFile

__all__ = ["CANCELLED", "DEAD", "DONE", "FAILED", "QUEUED", "RUNNING", "STATES", "Connected", "JobsFile", "count",
           "count_ended", "from_json", "milliseconds", "now_ms", "to_json"]  # fmt: skip

STATES: tuple[JobState, ...] = ("queued", "running", "done", "failed", "dead", "cancelled")
QUEUED, RUNNING, DONE, FAILED, DEAD, CANCELLED = range(6)
LOOK_AGAIN = 0.0003  # seconds between attempts while another process writes

VERSION = 1  # of the schema, in the file's header
# `due`: for a queued job, when it may be claimed; for a running job, when its lease ends; for an ended job, when it is
# deleted. `ends`: when its timeout has passed. All in milliseconds since 1970. Row numbers are never reused.
SCHEMA = """
CREATE TABLE queues (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, depth INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0, description BLOB, described_at INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE rows_given (last INTEGER NOT NULL);
INSERT INTO rows_given VALUES (0);
CREATE TABLE jobs (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL, queue INTEGER NOT NULL, state INTEGER NOT NULL, due INTEGER NOT NULL,
    ends INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL, queued_at INTEGER NOT NULL, changed_at INTEGER NOT NULL,
    principal TEXT, key TEXT, digest TEXT NOT NULL, code TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX jobs_by_id ON jobs (queue, id);
CREATE INDEX jobs_by_due ON jobs (queue, state, due);
CREATE UNIQUE INDEX jobs_by_key ON jobs (queue, ifnull(principal, ''), key) WHERE key IS NOT NULL;
CREATE TABLE bodies (row INTEGER PRIMARY KEY, request BLOB, response BLOB);
PRAGMA user_version = 1;
"""


class JobsFile(SqliteFile):
    """A connection to the job file, for use by one thread."""

    what = "job file"
    application = 0x6D6C706A  # "mlpj"
    schema = SCHEMA

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._numbers: dict[str, int] = {}  # the numbers of known queues, by name

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Opens the file for reading; use the connection with `known`."""
        with self._open() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Begins a transaction for writing; use the connection with `made`."""
        with self._transaction() as connection:
            yield connection

    def known(self, connection: apsw.Connection, queue: str) -> Connected:
        """The connection with the number of `queue`; the number is 0 if the queue does not exist."""
        return Connected(connection, self._number(connection, queue))

    def made(self, connection: apsw.Connection, queue: str) -> Connected:
        """The connection with the number of `queue`, which is created if it does not exist."""
        number = self._number(connection, queue)
        if not number:
            connection.execute("INSERT INTO queues (name) VALUES (?)", (queue,))
            number = connection.last_insert_rowid()  # not cached before the commit
        return Connected(connection, number)

    def version(self) -> int:
        """A number that changes with each commit of another connection."""
        with self._open() as connection:
            return int(connection.pragma("data_version"))

    def _number(self, connection: apsw.Connection, queue: str) -> int:
        """The number of `queue`, or 0 if it does not exist."""
        if queue not in self._numbers:
            found = connection.execute("SELECT id FROM queues WHERE name = ?", (queue,)).get
            if found is None or connection.in_transaction:
                return int(found or 0)
            self._numbers[queue] = int(found)
        return self._numbers[queue]

    def _connect(self) -> apsw.Connection:
        self._numbers = {}
        return super()._connect()

    def _prepare(self, connection: apsw.Connection) -> None:
        super()._prepare(connection)
        if connection.pragma("user_version") != VERSION:
            raise OSError("another version of mlpatterns has written it")
        # After a few attempts, SQLite's own handler retries only every 100 ms, but a commit takes about 1 ms.
        until = 0.0

        def busy(attempts: int) -> bool:
            nonlocal until
            now = time.monotonic()
            if not attempts:
                until = now + BUSY_MS / 1000
            time.sleep(LOOK_AGAIN)
            return now < until

        connection.set_busy_handler(busy)


class Connected:
    """A connection and the number of a queue; 0 if the queue does not exist.

    Attributes:
        now: when this object was made, in milliseconds since 1970.
    """

    def __init__(self, connection: apsw.Connection, queue: int) -> None:
        self.queue, self.now, self.execute = queue, now_ms(), connection.execute

    def list(self, query: str, *values: Any) -> list[Any]:
        """The result of a query that returns a list as JSON."""
        return from_json(self.execute(query, values).get)

    def number(self, query: str, *values: Any) -> int:
        """The number that a query returns; 0 if it returns none."""
        return int(self.execute(query, values).get or 0)


def count(on: Connected, jobs: int, size: int) -> None:
    """Adds to the totals for the limits of a queue: jobs that have not ended, and the bytes of their requests."""
    on.execute("UPDATE queues SET depth = depth + ?, bytes = bytes + ? WHERE id = ?", (jobs, size, on.queue))


def count_ended(on: Connected, rows: Sequence[int]) -> None:
    """Subtracts the jobs `rows`, which have ended, from the totals of the queue."""
    if rows:
        size = on.number("SELECT total(size) FROM jobs WHERE row IN (SELECT value FROM json_each(?))", to_json(rows))
        count(on, -len(rows), -size)


def to_json(rows: Sequence[Any]) -> str:
    return msgspec.json.encode(rows).decode()


def from_json(text: Any) -> list[Any]:
    found: list[Any] = msgspec.json.decode(text)
    return found


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def now_ms() -> int:
    """Milliseconds of the wall clock, which all processes share."""
    return int(time.time() * 1000)
