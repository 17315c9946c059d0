"""Base classes for tables as source, sink and items. A backend only defines how to connect to its database."""

from __future__ import annotations

from typing import Self

from mlpatterns.stores.batch.database import Database
from mlpatterns.stores.batch.sql import SqlSink, SqlSource
from mlpatterns.stores.batch.sql_items import SqlItems
from mlpatterns.stores.batch.table import TablePlace, table_place
from mlpatterns.stores.batch.threaded import ThreadedItems, ThreadedSink, ThreadedSource

__all__ = ["TableItems", "TableSink", "TableSource"]


class TableSource(ThreadedSource):
    @staticmethod
    def reach(place: TablePlace) -> Database:
        raise NotImplementedError  # a backend defines it

    @classmethod
    async def open(cls, url: str) -> Self:
        place = table_place(url)
        return cls(SqlSource(cls.reach(place), place))


class TableSink(ThreadedSink):
    @staticmethod
    def reach(place: TablePlace) -> Database:
        raise NotImplementedError  # a backend defines it

    @classmethod
    async def open(cls, url: str) -> Self:
        place = table_place(url)
        return cls(SqlSink(cls.reach(place), place))


class TableItems(ThreadedItems):
    @staticmethod
    def reach(place: TablePlace) -> Database:
        raise NotImplementedError  # a backend defines it

    @classmethod
    async def open(cls, url: str) -> Self:
        place = table_place(url)
        return cls(SqlItems(cls.reach(place), place))
