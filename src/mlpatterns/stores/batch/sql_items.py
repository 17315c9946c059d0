"""A table of items in any supported SQL database. It is created and filled once, even if several processes try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mlpatterns.stores.batch.database import Database
from mlpatterns.stores.batch.table import TablePlace

__all__ = ["SqlItems"]


class SqlItems:
    """See BatchItems; its calls block."""

    def __init__(self, database: Database, place: TablePlace) -> None:
        self._database, self._place = database, place

    def fill(self, rows: Sequence[Any]) -> bool:
        """Creates the table under another name and renames it when it is complete, so that it never appears empty."""
        database, table = self._database, self._place.table
        with database.alone(f"make {table}"):
            if database.columns(table):
                return False
            making = f"{table}_new"
            names = {"key": self._place.key, "values": "values", "into": self._place.into or "prediction"}
            columns = database.items.format(**{word: database.name(name) for word, name in names.items()})
            database.make([f"DROP TABLE IF EXISTS {database.name(making)}"])
            database.make([f"CREATE TABLE {database.name(making)} ({columns})"])
            with database.transaction():
                database.insert(making, ["values"], [[_json(row) for row in rows]])
            database.make([f"ALTER TABLE {database.name(making)} RENAME TO {database.name(table)}"])
            return True

    def add(self, rows: Sequence[Any]) -> None:
        with self._database.transaction():
            self._database.insert(self._place.table, ["values"], [[_json(row) for row in rows]])

    def close(self) -> None:
        self._database.close()


def _json(row: Any) -> str:
    return msgspec.json.encode(row).decode()
