"""Reads rows for a model from a file: a CSV table, with or without a header line, or an NPZ file of named arrays."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.user_errors import TableError

__all__ = ["read_sample"]

MOST_ROWS = 100_000  # further lines are not read; a sample needs only a few rows


def read_sample(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The rows of a file as inputs of a model, by name, each [rows, …].

    A CSV file has one column for each column of the inputs, in the same order. If its header line contains all column
    names, the columns are found by name and other columns are ignored. An empty cell of a float column is NaN. An NPZ
    file has one array for each input.

    Raises:
        TableError: the file cannot be read, or its columns or arrays do not fit the inputs.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".npz"):
        raise TableError(f"the sample {path.name} is neither .csv nor .npz")
    try:
        rows = _table(path, inputs) if kind == ".csv" else _arrays(path, inputs)
    except OSError as error:
        raise TableError(f"the sample {path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    counts = {len(value) for value in rows.values()}
    if counts == {0} or len(counts) != 1:
        what = "no rows" if counts == {0} else "another number of rows for each input"
        raise TableError(f"the sample {path.name} has {what}")
    _check_fixed(path, inputs, counts.pop())
    return rows


def _check_fixed(path: Path, inputs: Sequence[TensorSpec], count: int) -> None:
    for spec in inputs:
        if spec.shape and spec.shape[0] > count:
            raise TableError(f"the sample {path.name} has {count} rows, and the model takes {spec.shape[0]} at once")


# ---- arrays ------------------------------------------------------------------------------------------------------


def _arrays(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            given = {name: file[name] for name in file.files}
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise TableError(f"the sample {path.name} is not an NPZ file of numbers and text") from error
    if len(inputs) == len(given) == 1:
        given = {inputs[0].name: next(iter(given.values()))}
    missing = [spec.name for spec in inputs if spec.name not in given]
    if missing:
        there = ", ".join(given) or "none"
        raise TableError(f"the sample {path.name} has no array {missing[0]!r}; it has {there}")
    return {spec.name: _fitting(path, given[spec.name], spec) for spec in inputs}


def _fitting(path: Path, value: Array, spec: TensorSpec) -> Array:
    fits = value.ndim == len(spec.shape) and all(
        size in (-1, is_size) for size, is_size in zip(spec.shape[1:], value.shape[1:], strict=True)
    )
    if not fits or value.ndim == 0:
        raise TableError(
            f"the sample {path.name}: {spec.name!r} has the shape {list(value.shape)}, and the model takes "
            f"{list(spec.shape)}"
        )
    if (spec.datatype == "BYTES") != (value.dtype.kind in "SU"):
        raise TableError(f"the sample {path.name}: {spec.name!r} is {value.dtype}, and the model takes {spec.datatype}")
    return _bytes(value) if spec.datatype == "BYTES" else value.astype(DTYPES[spec.datatype])


def _bytes(value: Array) -> Array:
    texts = np.empty(value.size, object)
    texts[:] = [item if isinstance(item, bytes) else str(item).encode() for item in value.ravel().tolist()]
    return texts.reshape(value.shape)


# ---- a table -----------------------------------------------------------------------------------------------------


def _table(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    lines = _lines(path)
    widths = _widths(path, inputs, len(lines[0]))
    names = _names(inputs, widths)
    kinds = [spec.datatype for spec, width in zip(inputs, widths, strict=True) for _ in range(width)]
    places, first = _places(path, lines[0], names, kinds)
    columns = [
        [_cell(path, number, line, place, kind) for number, line in enumerate(lines[first:], first + 1)]
        for place, kind in zip(places, kinds, strict=True)
    ]
    rows: dict[str, Array] = {}
    for spec, width in zip(inputs, widths, strict=True):
        mine, columns = columns[:width], columns[width:]
        shape = [len(lines) - first, *(width if size == -1 else size for size in spec.shape[1:])]
        rows[spec.name] = np.array(mine, DTYPES[spec.datatype]).T.reshape(shape)
    return rows


def _lines(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [row for row, _ in zip(csv.reader(file), range(MOST_ROWS), strict=False) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"the sample {path.name} is not a CSV file in UTF-8") from error
    if not lines:
        raise TableError(f"the sample {path.name} is empty")
    return [[cell.strip() for cell in line] for line in lines]


def _widths(path: Path, inputs: Sequence[TensorSpec], cells: int) -> list[int]:
    """The number of columns of each input. A single input of variable width takes all columns of the file, unless its
    columns have names."""
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] == -1:
        return [len(inputs[0].fields) or cells]
    for spec in inputs:
        if -1 in spec.shape[1:]:
            raise TableError(
                f"the sample {path.name} is a table, which cannot hold {spec.name!r} {list(spec.shape)}; use .npz"
            )
    return [prod(spec.shape[1:]) for spec in inputs]


def _names(inputs: Sequence[TensorSpec], widths: Sequence[int]) -> list[str] | None:
    """The names of all columns: field names, or the input's name if it has one column; None if a name is unknown."""
    names: list[str] = []
    for spec, width in zip(inputs, widths, strict=True):
        if not spec.fields and width != 1:
            return None
        names += spec.fields or (spec.name,)
    return names


def _places(
    path: Path, line: Sequence[str], names: Sequence[str] | None, kinds: Sequence[str]
) -> tuple[list[int], int]:
    """The indices of the columns, and the index of the first row: 1 after a header line, else 0."""
    if names is not None and set(names) <= set(line):
        return [line.index(name) for name in names], 1
    headed = any(kind != "BYTES" and not _is_number(cell) for kind, cell in zip(kinds, line, strict=False))
    missing = [name for name in names or () if name not in line]
    if headed and len(missing) < len(names or ()):  # some names are there, so the others were left out by mistake
        raise TableError(f"the sample {path.name} has no column {missing[0]!r}")
    if len(line) != len(kinds):
        raise TableError(f"the sample {path.name} has {len(line)} columns, and the model takes {len(kinds)}")
    return list(range(len(kinds))), int(headed)


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return cell.lower() in ("true", "false")
    return True


def _cell(path: Path, number: int, line: Sequence[str], place: int, kind: str) -> Any:
    try:
        cell = line[place]
        return _value(cell, kind)
    except (IndexError, ValueError, OverflowError):
        where = f"the sample {path.name}, line {number}"
        if place >= len(line):
            raise TableError(f"{where} has no cell in column {place + 1}") from None
        raise TableError(f"{where}: {line[place][:40]!r} in column {place + 1} is not a valid {kind}") from None


def _value(cell: str, kind: str) -> Any:
    if kind == "BYTES":
        return cell.encode()
    if kind.startswith("FP"):
        return float(cell or "nan")
    if cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    number = float(cell) if "." in cell or "e" in cell.lower() else int(cell)
    if number != int(number) or not _holds(kind, int(number)):
        raise ValueError(cell)
    return int(number)


def _holds(kind: str, whole: int) -> bool:
    if kind == "BOOL":
        return whole in (0, 1)
    bounds = np.iinfo(DTYPES[kind])
    return int(bounds.min) <= whole <= int(bounds.max)
