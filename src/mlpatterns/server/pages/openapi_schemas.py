"""JSON Schema (2020-12) of a model's inputs and outputs, made from its metadata only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.oip.raw_tensors import bytes_tensor
from mlpatterns.tensors import LISTED_LABELS, shortest

__all__ = [
    "LARGEST_EXAMPLE", "Schema", "element", "infer_example", "infer_request", "infer_response", "label_prediction",
    "labels", "list_of", "nested", "object_of", "plain", "prediction",
]  # fmt: skip

Schema = dict[str, Any]

LARGEST_EXAMPLE = 2048  # numbers, or 8 times as many bytes of texts or images; nobody reads more


def object_of(**properties: Schema) -> Schema:
    """The schema of an object in which all of these properties are required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def list_of(items: Schema, **bounds: Any) -> Schema:
    """The schema of a list. Its length is not limited, unless `bounds` limit it."""
    return {"type": "array", "items": items, **bounds}


# ---- the simple API -----------------------------------------------------------------------------------------------


def prediction(spec: TensorSpec) -> Schema:
    """The answer of `/predict`: the prediction itself for one row, or a list for several rows."""
    return _answer(nested(spec, 1))


def label_prediction(names: tuple[str, ...], itself: TensorSpec | None = None) -> Schema:
    """The answer of `/predict/label`: one of `names` for each row, or an element of the output `itself`."""
    if itself is not None:
        return _answer(element(itself))
    return _answer({"type": "string", "enum": list(dict.fromkeys(names))})


def _answer(one: Schema) -> Schema:
    described = "For one row: its answer. For several rows: a list of answers."
    value = {"anyOf": [one, list_of(one)], "description": described}
    return object_of(prediction=value)


def labels(described: ModelMetadata) -> Schema:
    """The answer of `/label`: the names by number, or as a list for models that take images or keys."""
    if described.inputs and described.inputs[0].content in LISTED_LABELS:
        return list_of({"type": "string"}, const=list(described.labels))
    return object_of(**{str(index): {"const": name} for index, name in enumerate(described.labels)})


def nested(spec: TensorSpec, axis: int) -> Schema:
    """The schema of nested lists for the axes from `axis` on, with elements on the innermost level."""
    if axis >= len(spec.shape):
        return element(spec)
    size = spec.shape[axis]
    bounds = {"minItems": size, "maxItems": size} if size >= 0 else {}
    return list_of(nested(spec, axis + 1), **bounds)


def element(spec: TensorSpec, *, missing: bool | None = None) -> Schema:
    """The schema of one element of a tensor. Null is allowed if `missing` is true; the default is `spec.missing`."""
    if spec.datatype == "BYTES":
        return {"type": "string"}
    dtype = DTYPES[spec.datatype]
    if dtype.kind == "b":
        return {"type": "boolean"}
    if dtype.kind == "f":
        largest = np.finfo(dtype).max
        most = max(float(largest), float(str(largest)))  # its shortest decimal may be slightly larger than it
        return {
            "type": ["number", "null"] if (spec.missing if missing is None else missing) else "number",
            "minimum": -most,
            "maximum": most,
        }
    bounds = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(bounds.min), "maximum": int(bounds.max)}


# ---- the Open Inference Protocol ----------------------------------------------------------------------------------


def infer_request(described: ModelMetadata) -> Schema:
    """The body of an inference request."""
    count = len(described.inputs)
    tensors = {"anyOf": [_tensor(spec, sent=True) for spec in described.inputs]}
    inputs = list_of(tensors, minItems=count, maxItems=count)
    named = {"name": {"enum": [spec.name for spec in described.outputs]}, "parameters": PARAMETERS}
    wanted = {"type": "object", "properties": named, "required": ["name"]}
    outputs = {"type": ["array", "null"], "items": wanted, "description": "The outputs to return; all if left out."}
    properties = {"id": {"type": ["string", "null"]}, "parameters": PARAMETERS, "inputs": inputs, "outputs": outputs}
    return {"type": "object", "properties": properties, "required": ["inputs"]}


def infer_response(described: ModelMetadata) -> Schema:
    """The body of the answer to an inference request."""
    tensors = list_of({"anyOf": [_tensor(spec, sent=False) for spec in described.outputs]})
    text = {"type": "string"}
    properties = {
        "model_name": text, "model_version": text, "id": text, "parameters": PARAMETERS, "outputs": tensors,
    }  # fmt: skip
    return {"type": "object", "properties": properties, "required": ["model_name", "outputs"]}


PARAMETERS: Schema = {"type": ["object", "null"]}


def _tensor(spec: TensorSpec, *, sent: bool) -> Schema:
    flat = element(spec)
    # The description gives the sizes, because few tools understand a list whose items differ (prefixItems).
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
    """An inference request made from the model's sample; None if there is no sample that JSON can express."""
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
    """A sample as JSON values. Each number has as few digits as its datatype allows. It is None if the sample is
    missing, empty, too large, or cannot be expressed in JSON."""
    if sample is None or sample.size > LARGEST_EXAMPLE or not sample.size:
        return None
    if spec.datatype == "BYTES":
        return _plain_texts(sample, spec)
    if sample.dtype.kind == "f" and not (np.isfinite(sample) | (np.isnan(sample) & spec.missing)).all():
        return None
    return shortest(sample)


def _plain_texts(sample: Array, spec: TensorSpec) -> Any:
    raw = [value if isinstance(value, bytes) else str(value).encode() for value in sample.flat]
    if sum(map(len, raw)) > 8 * LARGEST_EXAMPLE:
        return None
    try:
        texts = [(base64.b64encode(value) if spec.content == "image" else value).decode() for value in raw]
    except UnicodeDecodeError:
        return None
    return bytes_tensor(texts).reshape(sample.shape).tolist()
