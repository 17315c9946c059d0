"""The interface of an SQL database for batch tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from mlpatterns.errors import Unavailable
from mlpatterns.stores.batch import Cells, Column, Kind

__all__ = ["ConstraintViolated", "Database"]


class ConstraintViolated(Unavailable):
    """A row violates a constraint of its table; for example, its key exists already."""


class Database(ABC):
    """One connection, for one thread at a time. It is opened at the first use, and opened again after an error.

    Attributes:
        mark: the placeholder for a value in a statement.
        types: the SQL types of new columns, by the kind of their cells; `key_text` is the type of a text key.
        items: the columns of a table of items; `{key}`, `{values}` and `{into}` are their names.

    Raises:
        Unavailable: raised by every method if the database cannot be used now.
    """

    mark: ClassVar[str]
    types: ClassVar[Mapping[Kind, str]]
    key_text: ClassVar[str]
    items: ClassVar[str]

    @abstractmethod
    def name(self, name: str) -> str:
        """The quoted form of a name."""

    @abstractmethod
    def shown(self, column: Column) -> str:
        """The expression that selects a column; JSON and times are returned as text."""

    @abstractmethod
    def compared(self, column: Column) -> str:
        """The expression for comparing a column as text by code points, regardless of the collation of the table."""

    @abstractmethod
    def columns(self, table: str) -> list[Column]:
        """The columns of a table in order; empty if there is no such table."""

    @abstractmethod
    def query(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]: ...

    def query_columns(self, statement: str, values: Sequence[Any], columns: Sequence[Column]) -> list[Cells] | None:
        """Runs a query and returns its result by column, as `columns` describe it; None if it has no rows."""
        rows = self.query(statement, values)
        return list(zip(*rows, strict=True)) if rows else None

    @abstractmethod
    def make(self, statements: Sequence[str]) -> None:
        """Runs statements that create or drop tables, each in its own transaction unless one is open."""

    @abstractmethod
    def alone(self, what: str) -> AbstractContextManager[None]:
        """Holds a lock: only one process at a time runs the body for the same `what`."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """A transaction: commits at the end, or rolls back if the body raises."""

    @abstractmethod
    def execute(self, statement: str, values: Sequence[Any]) -> int:
        """Runs one statement of a transaction; returns how many rows it changed."""

    @abstractmethod
    def insert_new(self, table: str, columns: Sequence[str], row: Sequence[Any]) -> int:
        """Inserts a row if no row has its key; returns how many rows it inserted."""

    @abstractmethod
    def insert(self, table: str, names: Sequence[str], columns: Sequence[Cells]) -> None:
        """Inserts rows; the cells are given by column."""

    @abstractmethod
    def update(self, table: str, key: Column, names: Sequence[str], columns: Sequence[Cells]) -> None:
        """Updates the columns `names`. The first of `columns` holds the keys of the rows, the others the new cells."""

    @abstractmethod
    def delete(self, table: str, key: str, keys: Sequence[Any]) -> None: ...

    @abstractmethod
    def close(self) -> None: ...
