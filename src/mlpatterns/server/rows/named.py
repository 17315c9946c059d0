"""Converts rows by name and columns by name to the arrays of one or several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.server.rows.cells import fits
from mlpatterns.server.rows.column import columns_of, whole_column
from mlpatterns.server.rows.table import TableRows

__all__ = ["Named", "named_of"]


class Named:
    """Reads the inputs of a model by the names of their columns. It reads them by the names of the inputs instead, if
    two columns have the same name, or if the data uses the name of an input that no column has."""

    def __init__(self, specs: Sequence[TensorSpec], max_elements: int, *, ignore_extra: bool = False) -> None:
        self.specs, self.max_elements = tuple(specs), max_elements
        columns = [column for spec in specs for column in columns_of(spec)]
        self._whole = TableRows([whole_column(spec) for spec in specs], ignore_extra=ignore_extra)
        alone = len({column.name for column in columns}) == len(columns)
        self.table = TableRows(columns, ignore_extra=ignore_extra) if alone else self._whole
        self._inputs = {name for name in self._whole.by_name if name not in self.table.by_name}

    def rows(self, rows: list[Any]) -> dict[str, Array]:
        """The arrays of the inputs, by input name, from rows by name. The first row must be an object.

        Raises:
            InvalidInput: a row does not fit this model. The text names all faults of the first wrong row.
            TooLarge: there are more values than `max_elements`.
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
        """The arrays of the inputs, by input name, from columns by name. An input without a free first axis is not a
        list of rows, so its length is not compared with the others.

        Raises:
            InvalidInput: the columns do not fit this model, differ in length, or have no rows.
            TooLarge: there are more values than `max_elements`.
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

    def _table(self, names: Mapping[str, Any]) -> TableRows:
        return self._whole if any(name in names for name in self._inputs) else self.table

    def _check_count(self, count: int) -> None:
        if count > self.max_elements:
            raise TooLarge(f"data holds more than {self.max_elements} values")

    def _inputs_of(self, table: TableRows, arrays: Mapping[str, Array]) -> dict[str, Array]:
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
    """The reader by name for a model with one input; None if this input cannot be read by name."""
    has_names = spec.fields and len(spec.shape) == 2
    if has_names or (spec.shape and whole_column(spec).cell == ()):
        return Named([spec], max_elements, ignore_extra=ignore_extra)
    return None
