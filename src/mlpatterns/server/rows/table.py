"""Puts rows by name and columns by name into the order of a model's columns. A DataFrame can write both forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import Array
from mlpatterns.server.rows.column import InputColumn
from mlpatterns.server.rows.sentences import ORIENTATION
from mlpatterns.tensors import required

__all__ = ["TableRows"]

SHOWN, LONGEST = 20, 64  # unknown columns that an error text names, and characters of each


class TableRows:
    """Reads rows and columns by name for the columns of a model.

    Args:
        columns: the columns; no two have the same name.
        ignore_extra: whether columns that the model does not have are dropped instead of refused.
    """

    def __init__(self, columns: Sequence[InputColumn], *, ignore_extra: bool) -> None:
        self.columns, self.ignore_extra = tuple(columns), ignore_extra
        self.by_name = {column.name: column for column in columns}

    def sent(self, names: Collection[str]) -> tuple[InputColumn, ...]:
        """The required columns, and the optional ones that are in `names`. An optional column must be in all rows or in
        no row."""
        return tuple(column for column in self.columns if required(column.spec) or column.name in names)

    def ordered(self, rows: list[Any]) -> list[list[Any]]:
        """The cells of rows by name, in the order of the table's columns. The first row determines which are sent.

        Raises:
            InvalidInput: a row is not an object, lacks a column, or has an unknown one although `ignore_extra` is off.
        """
        names = [column.name for column in self.sent(rows[0])]
        try:
            ordered = [[row[name] for name in names] for row in rows]
        except (KeyError, TypeError, IndexError):
            raise self.wrong(rows) from None
        if not self.ignore_extra and any(len(row) != len(names) for row in rows):
            raise self.wrong(rows)
        return ordered

    def wrong(self, rows: list[Any], otherwise: str = "data has rows of different shapes") -> InvalidInput:
        """The error for the first wrong row, with all its faults in one sentence. If no row is wrong by itself, the
        error text is `otherwise`."""
        first = self.sent(rows[0])
        number = self._first_wrong(rows, first)
        row = rows[number]
        if not isinstance(row, dict):
            kind = "a list" if isinstance(row, list) else "no object"
            return InvalidInput(f"data[{number}] is {kind}, but the first row is an object: use one form for all")
        faults = [fault for column in first if column.name in row for fault in _faults(column, [row[column.name]])]
        faults += self._names(row, first)
        return InvalidInput(f"data[{number}]: {'; '.join(faults)}" if faults else otherwise)

    def _first_wrong(self, rows: list[Any], first: Sequence[InputColumn]) -> int:
        """Finds the first wrong row by bisection. In a million rows this costs no more than to read all of them."""
        low, high = 0, len(rows)
        while high - low > 1:
            middle = (low + high) // 2
            if self._are_right(rows[low:middle], first):
                low = middle
            else:
                high = middle
        return low

    def _are_right(self, rows: list[Any], first: Sequence[InputColumn]) -> bool:
        try:
            for column in first:
                column.array([row[column.name] for row in rows])
        except (KeyError, TypeError, IndexError, InvalidInput):
            return False
        return self.ignore_extra or all(len(row) == len(first) for row in rows)

    def listed(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The list of values of each column in an object of columns.

        Raises:
            InvalidInput: a column is not a list, is missing, or is unknown although `ignore_extra` is off.
        """
        first = self.sent(data)
        faults = self._names(data, first)
        if not faults and all(isinstance(data[column.name], list) for column in first if column.spec.shape):
            return {column.name: data[column.name] if column.spec.shape else [data[column.name]] for column in first}
        if any(isinstance(value, dict) for value in data.values()) or {"columns", "data"} <= set(data):
            raise InvalidInput(f"data is a table in another order: {ORIENTATION}")
        if not faults and not any(isinstance(value, list) for value in data.values()):
            raise InvalidInput("data is one row: send it in a list, [{…}]")
        for column in first:
            if column.name in data and column.spec.shape and not isinstance(data[column.name], list):
                faults.insert(0, f"{column.name} must be a list of the values of all rows")
        raise InvalidInput(f"data: {'; '.join(faults)}")

    def arrays(self, values: Mapping[str, list[Any]]) -> dict[str, Array]:
        """The array of each column.

        Raises:
            InvalidInput: values do not fit their columns. The text names all faults in one sentence.
        """
        faults: list[str] = []
        found: dict[str, Array] = {}
        for name, cells in values.items():
            try:
                found[name] = self.by_name[name].array(cells)
            except InvalidInput as error:
                faults.append(str(error))
        if faults:
            raise InvalidInput(f"data: {'; '.join(faults)}")
        return found

    def _names(self, row: Mapping[str, Any], first: Sequence[InputColumn]) -> list[str]:
        missing = [column.name for column in first if column.name not in row]
        known = {column.name for column in first}
        unknown = [] if self.ignore_extra else sorted(str(name)[:LONGEST] for name in row if name not in known)
        said = [f"missing {', '.join(missing)}"] if missing else []
        if unknown:
            said.append(
                f"unknown {', '.join(unknown[:SHOWN])} (to drop unknown columns, serve with --extra-columns ignore)"
            )
        return said


def _faults(column: InputColumn, cell: list[Any]) -> list[str]:
    try:
        column.array(cell, alone=True)
    except InvalidInput as error:
        return [str(error)]
    return []
