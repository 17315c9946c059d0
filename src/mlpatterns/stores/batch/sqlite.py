"""Batch tables in an SQLite file: `sqlite:///items.db?table=items&key=id`.

Committed data survives a kill of the process. It also survives a crash of the machine (`synchronous=FULL`), if the disk
keeps what it has acknowledged. A new file uses WAL, so that it can be read during a run; an existing file keeps its
journal mode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import apsw

from mlpatterns.errors import Unavailable
from mlpatterns.stores.batch import Cells, Column, Kind, cells
from mlpatterns.stores.batch.database import ConstraintViolated, Database
from mlpatterns.stores.batch.opened import TableItems, TableSink, TableSource
from mlpatterns.stores.batch.table import TablePlace
from mlpatterns.stores.sqlite_file import is_another, sqlite_path

__all__ = ["SqliteBatchItems", "SqliteBatchSink", "SqliteBatchSource"]

BUSY_MS = 10_000  # milliseconds to wait while another connection writes, or reads a page

_KINDS: tuple[tuple[str, Kind], ...] = (
    ("INT", "int"), ("CHAR", "text"), ("TEXT", "text"), ("CLOB", "text"), ("JSON", "json"), ("BLOB", "bytes"),
    ("REAL", "float"), ("FLOA", "float"), ("DOUB", "float"), ("NUMERIC", "float"), ("DECIMAL", "float"),
    ("DATE", "text"), ("TIME", "text"),
)  # fmt: skip


class SqliteDatabase(Database):
    """A database in an SQLite file.

    Args:
        create: whether to create the file if it does not exist.
    """

    mark = "?"
    key_text = "TEXT"
    types = MappingProxyType(
        {"int": "INTEGER", "float": "REAL", "text": "TEXT", "json": "TEXT", "bytes": "BLOB", "time": "TEXT",
         "other": "TEXT"}
    )  # fmt: skip
    items = (
        "{key} INTEGER PRIMARY KEY AUTOINCREMENT, {values} TEXT NOT NULL, {into} TEXT, "
        "created_datetime TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%S', 'now')), "
        "updated_datetime TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%S', 'now'))"
    )

    def __init__(self, path: Path, *, create: bool) -> None:
        self._path, self._create = path, create
        self._connection: apsw.Connection | None = None
        self._opened: os.stat_result | None = None

    def name(self, name: str) -> str:
        return '"{}"'.format(name.replace('"', '""'))

    def shown(self, column: Column) -> str:
        return self.name(column.name)

    def compared(self, column: Column) -> str:
        return f"{self.name(column.name)} COLLATE BINARY"

    def columns(self, table: str) -> list[Column]:
        if self._connection is None and not self._path.exists():
            return []
        rows = self.query("SELECT name, type FROM pragma_table_info(?)", [table])
        return [Column(str(name), _kind(str(kind))) for name, kind in rows]

    def query(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._open() as connection:
            return connection.execute(statement, tuple(values)).fetchall()

    def make(self, statements: Sequence[str]) -> None:
        for statement in statements:
            with self._open() as connection:
                connection.execute(statement)

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        with self._open() as connection, _transaction(connection):  # the transaction holds the write lock of the file
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._open() as connection:
            if connection.in_transaction:
                yield
                return
            with _transaction(connection):
                yield

    def execute(self, statement: str, values: Sequence[Any]) -> int:
        with self._open() as connection:
            connection.execute(statement, tuple(values))
            return connection.changes()

    def insert_new(self, table: str, columns: Sequence[str], row: Sequence[Any]) -> int:
        return self.execute(self._insert(table, columns, "INSERT OR IGNORE"), row)

    def insert(self, table: str, names: Sequence[str], columns: Sequence[Cells]) -> None:
        with self._open() as connection:
            connection.executemany(self._insert(table, names), zip(*map(cells, columns), strict=True))

    def update(self, table: str, key: Column, names: Sequence[str], columns: Sequence[Cells]) -> None:
        # Numbered placeholders, because each row begins with its key.
        sets = ", ".join(f"{self.name(name)} = ?{number}" for number, name in enumerate(names, 2))
        statement = f"UPDATE {self.name(table)} SET {sets} WHERE {self.name(key.name)} = ?1"
        with self._open() as connection:
            connection.executemany(statement, zip(*map(cells, columns), strict=True))

    def delete(self, table: str, key: str, keys: Sequence[Any]) -> None:
        with self._open() as connection:
            if next(connection.execute(f"SELECT EXISTS (SELECT 1 FROM {self.name(table)})"))[0]:
                statement = f"DELETE FROM {self.name(table)} WHERE {self.name(key)} = ?"
                connection.executemany(statement, [(each,) for each in keys])

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)

    def _insert(self, table: str, columns: Sequence[str], verb: str = "INSERT") -> str:
        names, marks = ", ".join(map(self.name, columns)), ", ".join("?" * len(columns))
        return f"{verb} INTO {self.name(table)} ({names}) VALUES ({marks})"

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        try:
            known = self._connection
            if known is not None and not known.in_transaction and is_another(self._path, self._opened):
                self.close()  # data written to a deleted file would be lost
            if self._connection is None:
                self._connection = self._connect()
                self._opened = self._path.stat() if self._path.exists() else None  # None for a database in memory
            yield self._connection
        except apsw.ConstraintError as error:
            self.close()
            raise ConstraintViolated(f"the file {self._path.name} refuses it: {error}") from error
        except (apsw.Error, OSError) as error:
            self.close()
            raise Unavailable(f"the file {self._path.name} cannot be used: {error}") from error

    def _connect(self) -> apsw.Connection:
        is_new = self._create and not (self._path.exists() and self._path.stat().st_size)
        if is_new:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if self._create else 0)
        connection = apsw.Connection(str(self._path), flags=flags)
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("synchronous", "full")
        if is_new:
            with suppress(apsw.BusyError):  # another process is creating the file, and sets WAL itself
                connection.pragma("journal_mode", "wal")
        return connection


class SqliteBatchSource(TableSource):
    @staticmethod
    def reach(place: TablePlace) -> SqliteDatabase:
        return SqliteDatabase(sqlite_path(place.url, "a table"), create=False)


class SqliteBatchSink(TableSink):
    @staticmethod
    def reach(place: TablePlace) -> SqliteDatabase:
        return SqliteDatabase(sqlite_path(place.url, "a table"), create=not place.into)


class SqliteBatchItems(TableItems):
    @staticmethod
    def reach(place: TablePlace) -> SqliteDatabase:
        return SqliteDatabase(sqlite_path(place.url, "a table"), create=True)


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    """A transaction that takes the write lock at once. If it took the lock later, it could fail in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(apsw.ConnectionClosedError):  # the failed statement closed it; raise the first error
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _kind(declared: str) -> Kind:
    """The kind of a column with this declared type (sqlite.org/datatype3.html, section 3.1)."""
    found: Kind = next((kind for word, kind in _KINDS if word in declared.upper()), "other")
    return found
