"""Converts a model's sample to rows that a client can send. `/metadata` shows them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.server.rows.column import whole_column
from mlpatterns.server.rows.named import Named
from mlpatterns.tensors import listed, shortest

__all__ = ["data_of", "shown_inputs"]


def data_of(specs: Sequence[TensorSpec], sample: Mapping[str, Array]) -> Any:
    """The JSON value of `data` that the simple API decodes to `sample`.

    For one input it is the tensor as nested lists, or the text itself if the input is a single key. For several inputs
    it is rows by name, or columns by name if the inputs do not have the same number of rows.
    """
    specs = shown_inputs(specs, sample)
    if len(specs) == 1:
        spec, values = specs[0], sample[specs[0].name]
        return listed(values.reshape(-1))[0] if spec.content == "key" and values.size == 1 else _listed(spec, values)
    columns = _columns(specs, sample)
    counts = {value.shape[0] if value.ndim else -1 for value in sample.values()}
    if len(counts) > 1 or counts == {-1}:
        return columns
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def shown_inputs(specs: Sequence[TensorSpec], sample: Mapping[str, Array]) -> list[TensorSpec]:
    """The inputs that are in the sample. A sample may omit inputs that have a default value."""
    return [spec for spec in specs if spec.name in sample]


def _columns(specs: Sequence[TensorSpec], sample: Mapping[str, Array]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in Named(specs, 0).table.columns:
        spec = column.spec
        values = _listed(spec, sample[spec.name])
        if column.name in spec.fields and column != whole_column(spec):
            place = spec.fields.index(column.name)
            found[column.name] = [row[place] for row in values]
        else:
            one = spec.shape[1:] == (1,)  # a column of single values
            found[column.name] = [row[0] for row in values] if one else values
    return found


def _listed(spec: TensorSpec, values: Array) -> Any:
    if spec.content != "image":
        return shortest(values)
    images = [image if isinstance(image, bytes) else str(image).encode() for image in values.flat]
    flat = iter([base64.b64encode(image).decode() for image in images])
    return _shaped(flat, values.shape)


def _shaped(flat: Any, shape: Sequence[int]) -> Any:
    return [_shaped(flat, shape[1:]) for _ in range(shape[0])] if shape else next(flat)
