"""What an ONNX graph says of itself: the metadata of a file that came alone, or a check of what lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from mlpatterns.errors import ModelFileError, SettingsError
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec

__all__ = ["PLATFORM", "blank", "check_labels", "describe", "fitting", "labelled"]

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


def fitting(metadata: ModelMetadata, session: Any, name: str) -> ModelMetadata:
    """`metadata` as it is, if it has the inputs and outputs of the graph by name and datatype.

    Args:
        name: of the file it was read from.

    Raises:
        ModelFileError: it has others, or its primary output is none of them.
    """
    graph = describe(session)
    for said, real in ((metadata.inputs, graph.inputs), (metadata.outputs, graph.outputs)):
        wrong = {(spec.name, spec.datatype) for spec in said} ^ {(spec.name, spec.datatype) for spec in real}
        if wrong:
            names = ", ".join(sorted(f"{name} ({datatype})" for name, datatype in wrong))
            raise ModelFileError(f"{name} and its model do not agree on {names}; mend it, or delete it")
    if metadata.primary_output not in {spec.name for spec in graph.outputs}:
        raise ModelFileError(f"{name}: the primary_output {metadata.primary_output!r} is no output of the model")
    return metadata


def labelled(metadata: ModelMetadata, labels: tuple[str, ...]) -> ModelMetadata:
    """`metadata` with these class names by index.

    Raises:
        SettingsError: its primary output is known not to have a score for each.
    """
    shape = next(spec.shape for spec in metadata.outputs if spec.name == metadata.primary_output)
    check_labels(len(labels), metadata.primary_output, shape)
    return replace(metadata, labels=labels)


def check_labels(count: int, output: str, shape: Sequence[int]) -> None:
    """That so many labels can name the scores of an output; its sizes may be variable, and () is a shape not known.

    One score can have two names (`tensors.best_labels`).

    Raises:
        SettingsError: they cannot.
    """
    if not shape or (len(shape) == 2 and (shape[1] in (-1, count) or (shape[1], count) == (1, 2))):
        return
    what = f"{shape[1]} scores a row" if len(shape) == 2 else f"the shape {list(shape)} and so no score for each label"
    raise SettingsError(f"the labels are {count}, but the model's {output!r} has {what}; "
                        "give one label a score, or no --labels")  # fmt: skip


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
