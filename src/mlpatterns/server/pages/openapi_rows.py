"""JSON Schema of the bodies that `server.rows` decodes for the simple API, and example bodies from a model's sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.server.pages.openapi_schemas import Schema, element, list_of, nested, object_of, plain
from mlpatterns.server.rows import InputColumn, Named, data_of, named_of
from mlpatterns.tensors import required

__all__ = ["row_examples", "rows"]

BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"  # RFC 4648, section 4


def rows(inputs: Sequence[TensorSpec], most: int | None = None, *, ignore_extra: bool = False) -> Schema:
    """The body of `/predict`: its `data` is rows by position, rows by name or columns by name.

    Args:
        most: the most rows of one request; None for any number.
        ignore_extra: whether columns that the model does not have are dropped instead of refused.
    """
    several: Schema = {"type": "array", **_number_of_rows(inputs, most)}
    named = _named(inputs)
    forms = [] if named is None else [several | {"items": _row(named, ignore_extra)}, _columns(named, ignore_extra)]
    if len(inputs) != 1:
        data = _several(named or Named(inputs, 0), several, forms)
        needed = [spec for spec in inputs if required(spec)]
        if len(needed) != 1:
            return object_of(data=data)
        alone = rows(needed, most, ignore_extra=ignore_extra)["properties"]["data"]  # the other inputs are optional
        return object_of(data={"anyOf": [alone, data]})
    spec = inputs[0]
    if spec.datatype == "BYTES":
        return _texts(spec, several, forms)
    by_position = {**several, **nested(spec, 0)} if spec.shape else element(spec)
    if named is None:
        return object_of(data=by_position)
    names = ", ".join(named.table.by_name)
    described = f"Rows by position ({names}), or by name, one form for all; or columns by name."
    return object_of(data={"anyOf": [by_position, *forms], "description": described})


def _number_of_rows(inputs: Sequence[TensorSpec], most: int | None) -> Schema:
    """The bounds for the number of rows: the size of the first axis if the inputs fix it, else from 1 to `most`."""
    fixed = {spec.shape[0] for spec in inputs if spec.shape and spec.shape[0] >= 0 and required(spec)}
    if len(fixed) == 1:
        (size,) = fixed
        return {"minItems": size, "maxItems": size}
    return {"minItems": 1, **({"maxItems": most} if most is not None else {})}


def _named(inputs: Sequence[TensorSpec]) -> Named | None:
    return named_of(inputs[0], 0) if len(inputs) == 1 else Named(inputs, 0)


def _several(named: Named, several: Schema, forms: list[Schema]) -> Schema:
    """The schema of `data` for several inputs. Rows by position are allowed if each column has one value per row."""
    columns = named.table.columns
    if any(column.cell or not column.spec.shape for column in columns):
        return {"anyOf": forms, "description": "Rows by name, or columns by name."}
    cells: Schema = list_of({}, minItems=len(columns), maxItems=len(columns))
    described = f"Rows by name or by position ({', '.join(named.table.by_name)}), one form for all; or columns by name."
    return {"anyOf": [*forms, several | {"items": cells}], "description": described}


def _row(named: Named, ignore_extra: bool) -> Schema:
    return _object(named, _cell, ignore_extra)


def _columns(named: Named, ignore_extra: bool) -> Schema:
    return _object(named, lambda column: list_of(_cell(column)) if column.spec.shape else _cell(column), ignore_extra)


def _object(named: Named, part: Callable[[InputColumn], Schema], ignore_extra: bool) -> Schema:
    columns = named.table.columns
    whole = object_of(**{column.name: part(column) for column in columns})
    whole["required"] = [column.name for column in columns if required(column.spec)]
    return whole if ignore_extra else {**whole, "additionalProperties": False}


def _cell(column: InputColumn) -> Schema:
    one = _image() if column.spec.content == "image" else element(column.spec, missing=column.missing)
    for size in reversed(column.cell):
        one = list_of(one, **({"minItems": size, "maxItems": size} if size >= 0 else {}))
    return one


def _image() -> Schema:
    return {
        "type": "string", "contentEncoding": "base64", "contentMediaType": "application/octet-stream",
        "pattern": BASE64,
    }  # fmt: skip


def _texts(spec: TensorSpec, several: Schema, forms: list[Schema]) -> Schema:
    one = _image() if spec.content == "image" else {"type": "string"}
    flat = [one, {**several, "items": one}] if all(size in (-1, 1) for size in spec.shape[1:]) else []
    if len(spec.shape) > 1 and (spec.content != "image" or not flat):
        flat.append({**several, **nested(spec, 0)})
    names = ("data", "image_data") if spec.content == "image" else ("data",)
    return {
        "type": "object",
        "properties": {name: {"anyOf": [*flat, *forms]} for name in names},
        "oneOf": [{"required": [name]} for name in names],
    }


def row_examples(described: ModelMetadata) -> dict[str, Any]:
    """Example bodies of `/predict` from the model's sample, by their form; empty if the model has no sample, or if its
    sample is too large to show."""
    sample = described.sample or {}
    inputs = [spec for spec in described.inputs if spec.name in sample or required(spec)]
    values = {spec.name: plain(sample.get(spec.name), spec) for spec in inputs}
    if any(value is None for value in values.values()):
        return {}
    if len(inputs) != 1:
        data = data_of(inputs, sample)
        return {"by name" if isinstance(data, list) else "by column": {"data": data}}
    spec = inputs[0]
    if spec.datatype == "BYTES" and all(size == 1 for size in sample[spec.name].shape[1:]):
        texts = list(np.array(values[spec.name], dtype=object).flat)
        return {"sample": {"data": texts[0] if len(texts) == 1 else texts}}
    found: dict[str, Any] = {"by position": {"data": values[spec.name]}}
    if spec.fields and len(spec.shape) == 2:
        found["by name"] = {"data": [dict(zip(spec.fields, row, strict=False)) for row in values[spec.name]]}
    return found
