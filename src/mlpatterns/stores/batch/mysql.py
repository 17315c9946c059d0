"""Batch tables in MySQL or MariaDB: `mysql://user:password@host/database?table=items&key=id`.

A page and the new state of the run are written in one InnoDB transaction. NaN and infinity are written as null, because
MySQL does not have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from mlpatterns.errors import Unavailable
from mlpatterns.redaction import redact
from mlpatterns.stores.batch import Cells, Column, Kind, cells
from mlpatterns.stores.batch.opened import TableItems, TableSink, TableSource
from mlpatterns.stores.batch.server import ServerDatabase
from mlpatterns.stores.batch.table import TablePlace
from mlpatterns.user_errors import MissingExtra, SettingsError

__all__ = ["MysqlBatchItems", "MysqlBatchSink", "MysqlBatchSource"]

SECONDS, CALL_SECONDS = 5, 600  # to connect, and for one statement: to count a large table takes minutes
LOCK_SECONDS = 30

_URL = re.compile(
    r"mysql(?:\+\w+)?://(?:(?P<user>[^:@/?]*)(?::(?P<password>[^@]*))?@)?(?P<host>[^:@/?]+|\[[^\]]+\])"
    r"(?::(?P<port>\d{1,5}))?/(?P<database>[^/?]+)"
)
_KINDS: MappingProxyType[str, Kind] = MappingProxyType({
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), "int"),
    **dict.fromkeys(("float", "double", "decimal"), "float"),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "uuid"), "text"),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), "bytes"),
    **dict.fromkeys(("timestamp", "datetime", "date"), "time"),
    "json": "json",
})  # fmt: skip


class MysqlDatabase(ServerDatabase):
    key_text = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    types = MappingProxyType(
        {"int": "BIGINT", "float": "DOUBLE", "text": "LONGTEXT", "json": "JSON", "bytes": "LONGBLOB",
         "time": "DATETIME", "other": "LONGTEXT"}
    )  # fmt: skip
    items = (
        "{key} BIGINT AUTO_INCREMENT PRIMARY KEY, {values} JSON NOT NULL, {into} JSON NULL, "
        "created_datetime TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, "
        "updated_datetime TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"
    )

    def __init__(self, url: str) -> None:
        try:
            import pymysql
        except ImportError as error:
            raise MissingExtra("a batch table in MySQL", "mysql") from error
        found = _URL.fullmatch(url)
        if found is None or int(found["port"] or 3306) > 65_535:
            raise SettingsError(
                f"a batch table in MySQL needs a URL like mysql://USER:PASSWORD@HOST:PORT/DATABASE, not {redact(url)}"
            )
        self._options = {
            "host": found["host"].strip("[]"), "port": int(found["port"] or 3306), "user": unquote(found["user"] or ""),
            "password": unquote(found["password"] or ""), "database": unquote(found["database"]),
        }  # fmt: skip
        super().__init__("the MySQL of the batch", pymysql.Error)

    def shown(self, column: Column) -> str:
        name = self.name(column.name)
        return f"DATE_FORMAT({name}, '%%Y-%%m-%%dT%%H:%%i:%%s')" if column.kind == "time" else name

    def compared(self, column: Column) -> str:
        return f"CAST({self.shown(column)} AS CHAR) COLLATE utf8mb4_bin"

    def columns(self, table: str) -> list[Column]:
        rows = self.query(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = DATABASE() "
            "AND table_name = %s ORDER BY ordinal_position",
            [table],
        )
        return [Column(name, _KINDS.get(kind.lower(), "other")) for name, kind in rows]

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        name = f"mlpatterns {what}"[:64]
        if self.query("SELECT GET_LOCK(%s, %s)", [name, LOCK_SECONDS]) != [(1,)]:
            raise Unavailable("another process has the lock of the batch table; try again")
        try:
            yield
        finally:
            self.query("SELECT RELEASE_LOCK(%s)", [name])

    def insert_new(self, table: str, columns: Sequence[str], row: Sequence[Any]) -> int:
        return self.execute(self._insert(table, columns, "INSERT IGNORE"), row)

    def insert(self, table: str, names: Sequence[str], columns: Sequence[Cells]) -> None:
        rows = zip(*([_sound(cell) for cell in cells(column)] for column in columns), strict=True)
        with self._cursor() as cursor:  # the driver puts many rows into one statement
            cursor.executemany(self._insert(table, names), list(rows))

    def update(self, table: str, key: Column, names: Sequence[str], columns: Sequence[Cells]) -> None:
        every, place, own = [key.name, *names], self.name(table), self.name(key.name)
        self.execute(f"DROP TEMPORARY TABLE IF EXISTS {self.page}", ())
        rows_of_it = f"SELECT {self._columns(every)} FROM {place} LIMIT 0"
        self.execute(f"CREATE TEMPORARY TABLE {self.page} (PRIMARY KEY ({own})) AS {rows_of_it}", ())
        self.insert(self.page, every, columns)
        sets = ", ".join(f"{place}.{self.name(name)} = page.{self.name(name)}" for name in names)
        self.execute(f"UPDATE {place} JOIN {self.page} page ON {place}.{own} = page.{own} SET {sets}", ())

    def delete(self, table: str, key: str, keys: Sequence[Any]) -> None:
        if keys and self.query(f"SELECT 1 FROM {self.name(table)} LIMIT 1", ()):
            marks = ", ".join(["%s"] * len(keys))
            self.execute(f"DELETE FROM {self.name(table)} WHERE {self.name(key)} IN ({marks})", keys)

    def _connect(self) -> Any:
        import pymysql

        return pymysql.connect(
            autocommit=True, charset="utf8mb4", connect_timeout=SECONDS, read_timeout=CALL_SECONDS,
            write_timeout=CALL_SECONDS, init_command="SET time_zone = '+00:00'", **self._options,
        )  # fmt: skip

    def _quoted(self, name: str) -> str:
        return "`{}`".format(name.replace("`", "``"))

    def _insert(self, table: str, columns: Sequence[str], verb: str = "INSERT") -> str:
        marks = ", ".join(["%s"] * len(columns))
        return f"{verb} INTO {self.name(table)} ({self._columns(columns)}) VALUES ({marks})"


def _reached(place: TablePlace) -> MysqlDatabase:
    return MysqlDatabase(place.url)


class MysqlBatchSource(TableSource):
    reach = staticmethod(_reached)


class MysqlBatchSink(TableSink):
    reach = staticmethod(_reached)


class MysqlBatchItems(TableItems):
    reach = staticmethod(_reached)


def _sound(value: Any) -> Any:
    return None if type(value) is float and not isfinite(value) else value
