"""What an ONNX graph says of itself: the metadata of a model file that came alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpatterns.datatypes import DTYPES
from mlpatterns.errors import ModelFileError
from mlpatterns.predictor import Array, ModelMetadata, TensorSpec

__all__ = ["PLATFORM", "blank", "describe"]

PLATFORM = "onnxruntime_onnx"
TYPES = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip


def describe(session: Any) -> ModelMetadata:
    """The metadata of a bare file, from its graph: symbolic sizes are variable, there are no labels,
    and the sample is zeros."""
    inputs = tuple(_spec(node) for node in session.get_inputs())
    outputs = tuple(_spec(node) for node in session.get_outputs())
    return ModelMetadata("", "", PLATFORM, inputs, outputs, _primary(outputs), sample=blank(inputs))


def _spec(node: Any) -> TensorSpec:
    if node.type not in TYPES:
        hint = "; export it again with zipmap=False" if node.type.startswith("seq(map") else ""
        raise ModelFileError(f"{node.name!r} of the model is a {node.type}, which is no tensor{hint}")
    shape = tuple(size if isinstance(size, int) and size > 0 else -1 for size in node.shape)
    return TensorSpec(node.name, TYPES[node.type], shape)


def _primary(outputs: Sequence[TensorSpec]) -> str:
    """Scores rather than a class number: the first output of floats with columns, else the first."""
    scores = [spec.name for spec in outputs if spec.datatype.startswith("FP") and len(spec.shape) > 1]
    return (scores or [spec.name for spec in outputs])[0]


def blank(inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Zeros of the declared shapes, one where a size is variable."""
    blank: dict[str, Array] = {}
    for spec in inputs:
        shape = [max(1, size) for size in spec.shape]
        fill = b"" if spec.datatype == "BYTES" else 0
        blank[spec.name] = np.full(shape, fill, dtype=DTYPES[spec.datatype])
    return blank
