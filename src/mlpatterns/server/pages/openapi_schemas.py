"""JSON Schema (2020-12) of what goes in and out of a model, from its metadata alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.oip.raw_tensors import objects
from mlpatterns.tensors import LISTED_LABELS

__all__ = [
    "LARGEST_EXAMPLE", "Schema", "infer_example", "infer_request", "infer_response", "label_prediction", "labels",
    "list_of", "object_of", "prediction", "row_examples", "rows",
]  # fmt: skip

Schema = dict[str, Any]

BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"  # RFC 4648, section 4
LARGEST_EXAMPLE = 2048  # numbers, or 8 bytes each of text or image: more than that nobody reads


def object_of(**properties: Schema) -> Schema:
    """An object with just these properties known, all of them there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def list_of(items: Schema, **bounds: Any) -> Schema:
    """A list of any length, unless `bounds` say otherwise."""
    return {"type": "array", "items": items, **bounds}


# ---- the simple API -----------------------------------------------------------------------------------------------


def rows(spec: TensorSpec, most: int | None = None) -> Schema:
    """The body of `/predict`: `data`, by position or by name, at `most` so many, as `server.rows` decodes it."""
    several = {"type": "array", "minItems": 1, **({"maxItems": most} if most is not None else {})}
    if spec.datatype == "BYTES":
        return _texts(spec, several)
    data = {**several, **nested(spec, 0)}
    if by_name(spec):
        named = {**object_of(**{name: element(spec) for name in spec.fields}), "additionalProperties": False}
        described = f"Rows by position ({', '.join(spec.fields)}), or by name; one form for all."
        data = {"anyOf": [data, {**several, "items": named}], "description": described}
    return object_of(data=data)


def by_name(spec: TensorSpec) -> bool:
    """Whether rows may be objects: only those of numbers, in columns that have names."""
    return bool(spec.fields) and len(spec.shape) == 2 and spec.datatype.startswith("FP")


def _texts(spec: TensorSpec, several: Schema) -> Schema:
    one: Schema = {"type": "string"}
    if spec.content == "image":
        one |= {"contentEncoding": "base64", "contentMediaType": "application/octet-stream", "pattern": BASE64}
    several = {**several, "items": one}
    names = ("data", "image_data") if spec.content == "image" else ("data",)
    return {
        "type": "object",
        "properties": {name: {"anyOf": [one, several]} for name in names},
        "oneOf": [{"required": [name]} for name in names],
    }


def row_examples(described: ModelMetadata) -> dict[str, Any]:
    """Bodies of `/predict` made of the model's sample, by the name of their form; none if it is too large to show."""
    spec = described.inputs[0]
    values = plain(_sample(described, spec), spec)
    if values is None:
        return {}
    if spec.datatype == "BYTES":
        texts = list(np.array(values, dtype=object).flat)
        return {"sample": {"data": texts[0] if len(texts) == 1 else texts}}
    found: dict[str, Any] = {"by position": {"data": values}}
    if by_name(spec):
        found["by name"] = {"data": [dict(zip(spec.fields, row, strict=False)) for row in values]}
    return found


def prediction(spec: TensorSpec) -> Schema:
    """The answer of `/predict`: one row flat, several rows as a list."""
    return _answer(nested(spec, 1))


def label_prediction(names: tuple[str, ...]) -> Schema:
    """The answer of `/predict/label`."""
    return _answer({"type": "string", "enum": list(dict.fromkeys(names))})


def _answer(one: Schema) -> Schema:
    described = "One row in: its answer alone. Several: a list of them."
    value = {"anyOf": [one, list_of(one)], "description": described}
    return object_of(prediction=value)


def labels(described: ModelMetadata) -> Schema:
    """The answer of `/label`: names by number, or a list for models of images and keys."""
    if described.inputs and described.inputs[0].content in LISTED_LABELS:
        return list_of({"type": "string"}, const=list(described.labels))
    return object_of(**{str(index): {"const": name} for index, name in enumerate(described.labels)})


def nested(spec: TensorSpec, axis: int) -> Schema:
    """Lists within lists for the axes from `axis` on, elements innermost."""
    if axis >= len(spec.shape):
        return element(spec)
    size = spec.shape[axis]
    bounds = {"minItems": size, "maxItems": size} if size >= 0 else {}
    return list_of(nested(spec, axis + 1), **bounds)


def element(spec: TensorSpec) -> Schema:
    """One element of a tensor."""
    if spec.datatype == "BYTES":
        return {"type": "string"}
    dtype = DTYPES[spec.datatype]
    if dtype.kind == "b":
        return {"type": "boolean"}
    if dtype.kind == "f":
        floats = np.finfo(dtype)
        return {
            "type": ["number", "null"] if spec.missing else "number",
            "minimum": float(floats.min),
            "maximum": float(floats.max),
        }
    bounds = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(bounds.min), "maximum": int(bounds.max)}


# ---- the Open Inference Protocol ----------------------------------------------------------------------------------


def infer_request(described: ModelMetadata) -> Schema:
    """The body of an infer request."""
    count = len(described.inputs)
    tensors = {"anyOf": [_tensor(spec, sent=True) for spec in described.inputs]}
    inputs = list_of(tensors, minItems=count, maxItems=count)
    named = {"name": {"enum": [spec.name for spec in described.outputs]}, "parameters": PARAMETERS}
    wanted = {"type": "object", "properties": named, "required": ["name"]}
    outputs = {"type": ["array", "null"], "items": wanted, "description": "Those wanted; all of them if left out."}
    properties = {"id": {"type": ["string", "null"]}, "parameters": PARAMETERS, "inputs": inputs, "outputs": outputs}
    return {"type": "object", "properties": properties, "required": ["inputs"]}


def infer_response(described: ModelMetadata) -> Schema:
    """The body of an infer answer."""
    tensors = list_of({"anyOf": [_tensor(spec, sent=False) for spec in described.outputs]})
    text = {"type": "string"}
    properties = {
        "model_name": text, "model_version": text, "id": text, "parameters": PARAMETERS, "outputs": tensors,
    }  # fmt: skip
    return {"type": "object", "properties": properties, "required": ["model_name", "outputs"]}


PARAMETERS: Schema = {"type": ["object", "null"]}


def _tensor(spec: TensorSpec, *, sent: bool) -> Schema:
    flat = element(spec)
    # Sizes in words: few readers of documents understand a list whose items differ (prefixItems).
    sizes = ", ".join("any" if size < 0 else str(size) for size in spec.shape)
    rank = len(spec.shape)
    shape = list_of({"type": "integer", "minimum": 0}, description=f"[{sizes}]", minItems=rank, maxItems=rank)
    data = list_of({"anyOf": [flat, {"type": "array"}]}, description="Row-major, flat or nested.")
    properties = {
        "name": {"const": spec.name}, "datatype": {"const": spec.datatype}, "shape": shape,
        "parameters": PARAMETERS, "data": data if sent else list_of(flat),
    }  # fmt: skip
    return {"type": "object", "properties": properties, "required": ["name", "shape", "datatype"]}


def infer_example(described: ModelMetadata) -> Schema | None:
    """An infer request made of the model's sample; None if there is none that can be shown as JSON."""
    tensors = []
    for spec in described.inputs:
        sample = _sample(described, spec)
        flat = None if sample is None or spec.content == "image" else plain(sample.reshape(-1), spec)
        if sample is None or flat is None:
            return None
        tensors.append({"name": spec.name, "shape": list(sample.shape), "datatype": spec.datatype, "data": flat})
    return {"inputs": tensors}


# ---- samples ------------------------------------------------------------------------------------------------------


def _sample(described: ModelMetadata, spec: TensorSpec) -> Array | None:
    found: Mapping[str, Array] = described.sample or {}
    return found.get(spec.name)


def plain(sample: Array | None, spec: TensorSpec) -> Any:
    """A sample as JSON has it, each number as short as its datatype allows; None if it is too large or not JSON."""
    if sample is None or sample.size > LARGEST_EXAMPLE or not sample.size:
        return None
    if spec.datatype == "BYTES":
        return _plain_texts(sample, spec)
    if sample.dtype.kind != "f":
        return sample.tolist()
    if not np.isfinite(sample).all():
        return None
    short = np.array([float(str(value)) for value in sample.flat])
    return short.reshape(sample.shape).tolist()


def _plain_texts(sample: Array, spec: TensorSpec) -> Any:
    raw = [value if isinstance(value, bytes) else str(value).encode() for value in sample.flat]
    if sum(map(len, raw)) > 8 * LARGEST_EXAMPLE:
        return None
    try:
        texts = [(base64.b64encode(value) if spec.content == "image" else value).decode() for value in raw]
    except UnicodeDecodeError:
        return None
    return objects(texts).reshape(sample.shape).tolist()
