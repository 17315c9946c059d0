"""Converts cells of batch runs to Arrow arrays and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mlpatterns.stores.batch import Cells, Kind

__all__ = ["array_of", "cells_of", "kind_of", "type_of"]


def cells_of(column: pa.ChunkedArray) -> Cells:
    """A column of numbers without nulls as an array; any other column as plain values."""
    if not column.null_count and _is_number(column.type):
        numbers: Cells = column.to_numpy()
        return numbers
    if not column.null_count and pa.types.is_fixed_size_list(column.type) and _is_number(column.type.value_type):
        values = column.combine_chunks().flatten()
        if not values.null_count:
            rows: Cells = values.to_numpy().reshape(len(column), -1)
            return rows
    plain: Cells = column.to_pylist()
    return plain


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def array_of(cells: Cells, kind: Kind) -> pa.Array:
    if isinstance(cells, np.ndarray):
        return pa.array(np.ascontiguousarray(cells))
    if kind == "int" and None not in cells:
        return pa.array(np.asarray(cells, np.int64))
    return pa.array(list(cells), type_of(kind))


_TYPES: Mapping[Kind, pa.DataType] = {
    "int": pa.int64(), "float": pa.float64(), "text": pa.string(), "json": pa.string(),
    "bytes": pa.binary(), "time": pa.string(), "other": pa.string(),
}  # fmt: skip


def type_of(kind: Kind) -> pa.DataType:
    return _TYPES[kind]


def kind_of(kind: pa.DataType) -> Kind:
    types = pa.types
    if types.is_integer(kind) or types.is_boolean(kind):
        return "int"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "float"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    if types.is_temporal(kind):
        return "time"
    return "bytes" if types.is_binary(kind) else "other"
