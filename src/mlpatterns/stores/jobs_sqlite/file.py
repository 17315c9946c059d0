"""The file of an SQLite JobStore: its tables, and what every step of a transaction needs.

Lists of jobs go to SQLite as one JSON text and come back as one: each call of SQLite lets go of the interpreter and
must get it back, which under load takes longer than what is done.
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
LOOK_AGAIN = 0.0003  # seconds until another process may have ended its transaction

VERSION = 1  # of the tables, which say it themselves
# `due`: of a queued job when it may be claimed, of a running one when its lease ends, of an ended one when it is
# forgotten. `ends`: when its timeout is over. All in milliseconds since 1970. A row's number is given once.
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
    """Used by one thread."""

    what = "job file"
    application = 0x6D6C706A  # "mlpj"
    schema = SCHEMA

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._numbers: dict[str, int] = {}  # of the queues that are known

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """To read by `known`."""
        with self._open() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """One transaction, to write by `made`."""
        with self._transaction() as connection:
            yield connection

    def known(self, connection: apsw.Connection, queue: str) -> Connected:
        """Of a queue, whose number is 0 while there is none."""
        return Connected(connection, self._number(connection, queue))

    def made(self, connection: apsw.Connection, queue: str) -> Connected:
        """Of a queue, which this makes if there is none."""
        number = self._number(connection, queue)
        if not number:
            connection.execute("INSERT INTO queues (name) VALUES (?)", (queue,))
            number = connection.last_insert_rowid()  # remembered when it is committed
        return Connected(connection, number)

    def version(self) -> int:
        """Another one after each commit of another connection."""
        with self._open() as connection:
            return int(connection.pragma("data_version"))

    def _number(self, connection: apsw.Connection, queue: str) -> int:
        """That of a queue, or 0 while there is none."""
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
        # SQLite's own handler soon looks every 100 ms only, where a commit takes one.
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
    """A connection, and the number of the queue that it is used for; 0 while there is no such queue.

    Attributes:
        now: when it was made.
    """

    def __init__(self, connection: apsw.Connection, queue: int) -> None:
        self.queue, self.now, self.execute = queue, now_ms(), connection.execute

    def list(self, query: str, *values: Any) -> list[Any]:
        """The list that a query gives as JSON."""
        return from_json(self.execute(query, values).get)

    def number(self, query: str, *values: Any) -> int:
        """The number that a query gives, 0 for none."""
        return int(self.execute(query, values).get or 0)


def count(on: Connected, jobs: int, size: int) -> None:
    """Adds to the figures that bound a queue: jobs that have not ended, and the bytes of their requests."""
    on.execute("UPDATE queues SET depth = depth + ?, bytes = bytes + ? WHERE id = ?", (jobs, size, on.queue))


def count_ended(on: Connected, rows: Sequence[int]) -> None:
    """The jobs of `rows` have ended."""
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
    """By the wall clock, which processes share."""
    return int(time.time() * 1000)
