"""Rows by name and columns by name to the arrays of one input or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.server.rows.cells import fits
from mlpatterns.server.rows.column import columns_of, whole_column
from mlpatterns.server.rows.table import Table

__all__ = ["Named", "named_of"]


class Named:
    """The inputs of a model by the names of their columns; by their own where two columns have the same name, or where
    rows have those."""

    def __init__(self, specs: Sequence[TensorSpec], max_elements: int, *, ignore_extra: bool = False) -> None:
        self.specs, self.max_elements = tuple(specs), max_elements
        columns = [column for spec in specs for column in columns_of(spec)]
        self._whole = Table([whole_column(spec) for spec in specs], ignore_extra=ignore_extra)
        alone = len({column.name for column in columns}) == len(columns)
        self.table = Table(columns, ignore_extra=ignore_extra) if alone else self._whole
        self._inputs = {name for name in self._whole.by_name if name not in self.table.by_name}

    def rows(self, rows: list[Any]) -> dict[str, Array]:
        """The inputs of rows by name, the first of which is an object.

        Raises:
            InvalidInput: they are not rows of this model; the sentence has all that is wrong with one.
            TooLarge: they are more than the limit.
        """
        table = self._table(rows[0])
        names = [column.name for column in table.sent(rows[0])]
        self._check_count(len(rows) * len(names))
        values = {name: list(cells) for name, cells in zip(names, zip(*table.ordered(rows), strict=True), strict=True)}
        try:
            return self._inputs_of(table, table.arrays(values))
        except InvalidInput as error:
            raise table.wrong(rows, str(error)) from None

    def columns(self, data: Mapping[str, Any]) -> dict[str, Array]:
        """The inputs of columns by name; of an input without a batch axis, all of it.

        Raises:
            InvalidInput: they are not the columns of this model, or not of one length.
            TooLarge: they are more than the limit.
        """
        table = self._table(data)
        values = table.listed(data)
        self._check_count(sum(map(len, values.values())))
        counts = {name: len(cells) for name, cells in values.items() if table.by_name[name].spec.shape[:1] == (-1,)}
        first = next(iter(counts), "")
        for name, count in counts.items():
            if count != counts[first]:
                raise InvalidInput(f"data: {name} has {count} values, but {first} has {counts[first]}: "
                                   "all columns need one for each row")  # fmt: skip
            if not count:
                raise InvalidInput("data must hold at least one row")
        return self._inputs_of(table, table.arrays(values))

    def _table(self, names: Mapping[str, Any]) -> Table:
        return self._whole if any(name in names for name in self._inputs) else self.table

    def _check_count(self, count: int) -> None:
        if count > self.max_elements:
            raise TooLarge(f"data holds more than {self.max_elements} values")

    def _inputs_of(self, table: Table, arrays: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for spec in self.specs:
            parts = [arrays[column.name] for column in table.columns if column.spec is spec and column.name in arrays]
            if parts:
                found[spec.name] = self._input(spec, parts)
        return found

    def _input(self, spec: TensorSpec, parts: list[Array]) -> Array:
        array = parts[0]
        if array.ndim == 1 and len(spec.shape) == 2:
            array = np.stack(parts, axis=1)
        if not spec.shape and len(array) == 1:
            array = array.reshape(())
        if array.size > self.max_elements:
            raise TooLarge(f"data holds more than {self.max_elements} values")
        if not fits(array.shape, spec.shape):
            raise InvalidInput(f"{spec.name} has the shape {list(array.shape)}, expected {list(spec.shape)}")
        return array


def named_of(spec: TensorSpec, max_elements: int, *, ignore_extra: bool = False) -> Named | None:
    """How the one input of a model is read by name; None if its columns have no names."""
    has_names = spec.fields and len(spec.shape) == 2
    if has_names or (spec.shape and whole_column(spec).cell == ()):
        return Named([spec], max_elements, ignore_extra=ignore_extra)
    return None
