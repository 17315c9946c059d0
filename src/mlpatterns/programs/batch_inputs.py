"""Converts the cells of a page to the inputs of a model: whole columns at once, and smaller parts if that fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.stores.batch import Cells, Column, Page, Shape, cells
from mlpatterns.user_errors import SettingsError

__all__ = ["BatchInputs", "Wrong"]

Wrong = dict[int, str]  # the error of each invalid row, by its index in the page
WHOLE = "values"  # a column that contains complete rows as JSON


class BatchInputs:
    """How the columns of a source become the inputs of a model.

    An input is read from the column with its name, which contains a number or a row as a JSON list; otherwise from the
    columns with the names of its fields, in their order. The only input of a model may also be the column ``values``
    or, if its fields have no names, all columns but the key.

    Args:
        leave_out: a column that is not an input: the one for the predictions.

    Raises:
        SettingsError: the source lacks a column.
    """

    def __init__(self, metadata: ModelMetadata, shape: Shape, leave_out: str | None = None) -> None:
        known = [column for column in shape.columns if column.name not in (shape.key.name, leave_out)]
        self._specs = metadata.inputs
        self._from = {spec.name: _chosen(spec, known, alone=len(metadata.inputs) == 1) for spec in metadata.inputs}

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return list(dict.fromkeys(name for names in self._from.values() for name in names))

    def of(self, page: Page) -> tuple[dict[str, Array], list[int], Wrong]:
        """The inputs of the valid rows, the indexes of these rows in the page, and the errors of the others."""
        wrong: Wrong = dict(page.wrong)
        right: list[int] = []
        parts: list[dict[str, Array]] = []
        self._try(page, [place for place in range(len(page.keys)) if place not in wrong], right, parts, wrong)
        if len(parts) <= 1:
            return parts[0] if parts else {}, right, wrong
        return {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in self._specs}, right, wrong

    def _try(
        self, page: Page, places: Sequence[int], right: list[int], parts: list[dict[str, Array]], wrong: Wrong
    ) -> None:
        """Converts all rows at once; if that fails, each half separately."""
        if not places:
            return
        columns = page.columns
        if len(places) < len(page.keys):
            columns = {name: [cell[place] for place in places] for name, cell in columns.items()}
        try:
            made = {spec.name: _tensor(spec, [columns[name] for name in self._from[spec.name]]) for spec in self._specs}
        except (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            if len(places) == 1:
                wrong[places[0]] = self._sentence(columns, error)
                return
            half = len(places) // 2
            self._try(page, places[:half], right, parts, wrong)
            self._try(page, places[half:], right, parts, wrong)
            return
        right += places
        parts.append(made)

    def _sentence(self, row: Mapping[str, Cells], error: Exception) -> str:
        for spec in self._specs:
            for name in self._from[spec.name]:
                if row[name][0] in (None, "") and not spec.missing:
                    return f"the column {name!r} is empty"
        return f"the row is not what the model takes: {str(error)[:200]}"


def _chosen(spec: TensorSpec, known: Sequence[Column], *, alone: bool) -> list[str]:
    names = [column.name for column in known]
    if spec.name in names:
        return [spec.name]
    if alone and WHOLE in names:
        return [WHOLE]
    if len(spec.shape) == 2 and spec.fields:
        missing = [field for field in spec.fields if field not in names]
        if missing:
            raise SettingsError(
                f"there is no column {missing[0]!r}; the model takes {', '.join(spec.fields)}, or whole rows as JSON "
                f"in a column {WHOLE!r}"
            )
        return list(spec.fields)
    if alone and len(spec.shape) == 2 and names and spec.shape[1] in (-1, len(names)):
        return names
    raise SettingsError(
        f"there is no column {spec.name!r} for the input of that name, which has the shape {list(spec.shape)}; write "
        "its rows there as JSON lists"
    )


def _tensor(spec: TensorSpec, columns: Sequence[Cells]) -> Array:
    """One input of some rows; raises the errors of the conversion."""
    if len(columns) == 1 and (len(spec.shape) != 1 and not (len(spec.shape) == 2 and _is_plain(columns[0]))):
        made = _rows(spec, columns[0])
    else:
        made = np.stack([_column(spec, column) for column in columns], axis=1)
        if len(spec.shape) == 1:
            made = made[:, 0]
    for size, wanted in zip(made.shape[1:], spec.shape[1:], strict=True):
        if wanted not in (size, -1):
            raise ValueError(f"input {spec.name!r} takes rows of {list(spec.shape[1:])}, not {list(made.shape[1:])}")
    return made


def _is_plain(column: Cells) -> bool:
    """Whether the cells are numbers or text, not lists."""
    if isinstance(column, np.ndarray):
        return column.ndim == 1 and column.dtype != object
    first = column[0] if len(column) else None
    return not (isinstance(first, list) or (isinstance(first, str) and first.lstrip().startswith("[")))


def _rows(spec: TensorSpec, column: Cells) -> Array:
    """A column of lists: JSON text, or lists already."""
    if isinstance(column, np.ndarray) and column.dtype != object:
        return _cast(spec, column)
    values = cells(column)
    if values and isinstance(values[0], str):
        found = msgspec.json.decode("[" + ",".join(values) + "]", type=list[list[Any]])
        if len(found) != len(values):
            raise ValueError("a row is not a JSON list")
        values = found
    if spec.datatype == "BYTES":
        return np.array([[_bytes(item) for item in row] for row in values], dtype=object)
    return _cast(spec, _numbers(values, missing=spec.missing))


def _column(spec: TensorSpec, column: Cells) -> Array:
    """A column of single cells."""
    if isinstance(column, np.ndarray) and column.dtype != object:
        return _cast(spec, column)
    values = cells(column)
    if spec.datatype == "BYTES":
        made = np.empty(len(values), dtype=object)
        made[:] = [_bytes(value) for value in values]
        return made
    if values and isinstance(values[0], str):
        read: Callable[[str], Any] = float if spec.datatype.startswith("FP") else int
        if "" not in values:
            return _cast(spec, np.array(list(map(read, values))))
        values = [None if value == "" else read(value) for value in values]
    return _cast(spec, _numbers(values, missing=spec.missing))


def _numbers(values: Sequence[Any], *, missing: bool) -> Array:
    made = np.array(values)
    if made.dtype.kind in "biuf":
        return made
    made = np.array(values, dtype=np.float64)  # None becomes NaN
    if not missing and np.isnan(made).any() and _has_none(values):
        raise ValueError("a value is missing")
    return made


def _has_none(values: Any) -> bool:
    return values is None or (isinstance(values, list | tuple) and any(_has_none(value) for value in values))


def _cast(spec: TensorSpec, values: Array) -> Array:
    """Converts values to the datatype of an input; a value that an integer type cannot hold exactly is an error."""
    dtype = DTYPES[spec.datatype]
    if values.dtype == dtype:
        return values
    if values.dtype.kind not in "biuf":
        raise TypeError(f"input {spec.name!r} takes {spec.datatype}")
    if dtype.kind == "f":
        return values.astype(dtype)
    with np.errstate(invalid="ignore"):
        cast = values.astype(dtype)
    if not np.array_equal(cast, values):
        raise ValueError(f"input {spec.name!r} takes {spec.datatype}, but a value is not one")
    return cast


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("a value is missing")
    return str(value).encode()
