"""Converts the outputs of a model to result columns: one for each number, or JSON for larger outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.stores.batch import Cells, Column, Kind
from mlpatterns.tensors import listed

__all__ = ["BatchOutputs"]

MOST_COLUMNS = 64  # of one output; a wider one is JSON in one column


class BatchOutputs:
    """How outputs become columns.

    An output of shape [rows] becomes a column with its name. One of shape [rows, n] becomes n columns, named after the
    labels if there are n of them, otherwise numbered. Any other output becomes a column of JSON lists.

    Args:
        into: for a table that is predicted in place, the column for the primary output, as JSON.
        taken: the name of the key column; an output column with this name gets an underscore.
    """

    def __init__(self, metadata: ModelMetadata, taken: str, into: str | None = None) -> None:
        specs = {spec.name: spec for spec in metadata.outputs}
        primary = metadata.primary_output
        self.names = (primary,) if into else tuple(specs)
        self._split: dict[str, list[str] | None] = {}
        self.columns: list[Column] = []
        for name in self.names:
            parts = None if into else _parts(specs[name], metadata.labels)
            kind: Kind = "json" if parts is None else _kind(specs[name])
            names = [into or name] if parts is None else parts
            names = [f"{part}_" if part == taken else part for part in names]
            self._split[name] = None if parts is None else names
            self.columns += [Column(part, kind) for part in names]

    def of(self, outputs: Mapping[str, Array]) -> dict[str, Cells]:
        """The columns of some rows, in the order of `columns`."""
        found: list[Cells] = []
        for name in self.names:
            value, parts = outputs[name], self._split[name]
            if parts is None:
                found.append([msgspec.json.encode(row).decode() for row in listed(value)])
            elif value.ndim == 1:
                found.append(_plain(value))
            else:
                found += [_plain(value[:, index]) for index in range(len(parts))]
        return {column.name: values for column, values in zip(self.columns, found, strict=True)}


def _parts(spec: TensorSpec, labels: Sequence[str]) -> list[str] | None:
    """The names of an output's columns, or None for JSON."""
    if len(spec.shape) == 1:
        return [spec.name]
    if len(spec.shape) != 2 or not 0 < spec.shape[1] <= MOST_COLUMNS:
        return None
    count = spec.shape[1]
    if count == 1:
        return [spec.name]
    own = labels if len(labels) == count else range(count)
    return [f"{spec.name}_{part}" for part in own]


def _kind(spec: TensorSpec) -> Kind:
    if spec.datatype == "BYTES":
        return "text"
    return "float" if DTYPES[spec.datatype].kind == "f" else "int"


def _plain(value: Array) -> Cells:
    if value.dtype == object:
        found: list[Any] = listed(value)
        return found
    return value.astype(np.uint8) if value.dtype == np.bool_ else value
