"""What batch tables ask of an SQL database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from mlpatterns.errors import Unavailable
from mlpatterns.stores.batch import Cells, Column, Kind

__all__ = ["Database", "Refused"]


class Refused(Unavailable):
    """A row breaks a rule of its table: its key is there already."""


class Database(ABC):
    """One connection, which one thread at a time uses: made when it is needed, and made anew after an error.

    Attributes:
        mark: stands for a value in a statement.
        types: of the columns that are made here, by what they hold; `key_text` is that of a key that is text.
        items: the columns of a table of items; `{key}`, `{values}` and `{into}` are their names.

    Raises:
        Unavailable: by every method: the database does not do it now.
    """

    mark: ClassVar[str]
    types: ClassVar[Mapping[Kind, str]]
    key_text: ClassVar[str]
    items: ClassVar[str]

    @abstractmethod
    def name(self, name: str) -> str:
        """A name, quoted."""

    @abstractmethod
    def shown(self, column: Column) -> str:
        """How a column is selected, so that JSON and times come as text."""

    @abstractmethod
    def compared(self, column: Column) -> str:
        """How a column that is text, or shown as such, is compared: by code points, whatever the table's collation."""

    @abstractmethod
    def columns(self, table: str) -> list[Column]:
        """The columns of a table in their order; none if there is no such table."""

    @abstractmethod
    def query(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]: ...

    def query_columns(self, statement: str, values: Sequence[Any], columns: Sequence[Column]) -> list[Cells] | None:
        """The same by column, which `columns` describe; None where there is no row."""
        rows = self.query(statement, values)
        return list(zip(*rows, strict=True)) if rows else None

    @abstractmethod
    def make(self, statements: Sequence[str]) -> None:
        """Runs statements that make or drop tables, each by itself."""

    @abstractmethod
    def alone(self, what: str) -> AbstractContextManager[None]:
        """Of all processes that do `what`, one at a time."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """What is executed inside is written, or none of it where it raises."""

    @abstractmethod
    def execute(self, statement: str, values: Sequence[Any]) -> int:
        """Runs one statement of a transaction; how many rows it changed."""

    @abstractmethod
    def insert_new(self, table: str, columns: Sequence[str], row: Sequence[Any]) -> int:
        """Inserts a row if none has its key; how many were."""

    @abstractmethod
    def insert(self, table: str, names: Sequence[str], columns: Sequence[Cells]) -> None:
        """Inserts rows, whose cells are given by column."""

    @abstractmethod
    def update(self, table: str, key: Column, names: Sequence[str], columns: Sequence[Cells]) -> None:
        """Sets the columns `names` of the rows whose keys are the first of `columns`."""

    @abstractmethod
    def delete(self, table: str, key: str, keys: Sequence[Any]) -> None: ...

    @abstractmethod
    def close(self) -> None: ...
