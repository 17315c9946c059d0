"""Makes metadata from the graph of an ONNX model, and checks metadata from another source against the graph."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod
from typing import Any

from msgspec.structs import replace

from mlpatterns.metadata import DTYPES, ModelMetadata, TensorSpec
from mlpatterns.user_errors import ModelFileError

__all__ = ["PLATFORM", "describe", "fitting"]

PLATFORM = "onnxruntime_onnx"
MOST_OPTIONAL, MOST_ELEMENTS = 16, 1024  # limits of inputs with a default value: beyond them, they are model weights
USUAL_RANK = 2  # assumed for an input that may have any rank: [rows, columns]
TYPES = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip


def describe(session: Any, unranked: Collection[str] = ()) -> ModelMetadata:
    """The metadata of a model file without metadata, from its graph, without labels and sample. Symbolic sizes are -1.

    Args:
        unranked: the inputs and outputs that declare no shape.

    Raises:
        ModelFileError: an input or output is not a tensor of a supported type.
    """
    inputs = [_spec(node, USUAL_RANK if node.name in unranked else 0) for node in session.get_inputs()]
    inputs += _optional(session)
    outputs = tuple(_spec(node) for node in session.get_outputs())
    return ModelMetadata("", "", PLATFORM, tuple(inputs), outputs, _primary(outputs))


def fitting(metadata: ModelMetadata, session: Any, name: str) -> ModelMetadata:
    """Returns `metadata` unchanged if its inputs and outputs match the graph by name and datatype.

    Args:
        name: where the metadata was read from, for error texts.

    Raises:
        ModelFileError: an input or output does not match, or the primary output is not an output of the graph.
    """
    graph = describe(session)
    said_inputs = {spec.name for spec in metadata.inputs}
    inputs = [spec for spec in graph.inputs if not spec.optional or spec.name in said_inputs]
    for said, real in ((metadata.inputs, inputs), (metadata.outputs, graph.outputs)):
        wrong = {(spec.name, spec.datatype) for spec in said} ^ {(spec.name, spec.datatype) for spec in real}
        if wrong:
            names = ", ".join(sorted(f"{name} ({datatype})" for name, datatype in wrong))
            raise ModelFileError(f"{name} and its model do not agree on {names}; correct it, or delete it")
    if metadata.primary_output not in {spec.name for spec in graph.outputs}:
        raise ModelFileError(f"{name}: the primary_output {metadata.primary_output!r} is not an output of the model")
    return metadata


def _optional(session: Any) -> list[TensorSpec]:
    """The inputs that have a default value; none of them if they look like weights, which some exporters list too."""
    nodes = session.get_overridable_initializers()
    sizes = [prod(size for size in node.shape or () if isinstance(size, int)) for node in nodes]
    if len(nodes) > MOST_OPTIONAL or max(sizes, default=0) > MOST_ELEMENTS:
        return []
    return [replace(_spec(node), optional=True) for node in nodes if node.type in TYPES]


def _spec(node: Any, free: int = 0) -> TensorSpec:
    """The TensorSpec of an input or output.

    Args:
        free: the number of axes, all variable, if the node declares no shape.
    """
    if node.type not in TYPES:
        raise ModelFileError(
            f"{node.name!r} of the model is a {node.type}, which is not served; export it as a tensor of one of "
            f"{', '.join(DTYPES)}"
        )
    shape = tuple(size if isinstance(size, int) and size > 0 else -1 for size in node.shape or ()) or (-1,) * free
    return TensorSpec(node.name, TYPES[node.type], shape)


def _primary(outputs: Sequence[TensorSpec]) -> str:
    """The first float output with more than one axis, else the first output. This prefers scores to a class number."""
    scores = [spec.name for spec in outputs if spec.datatype.startswith("FP") and len(spec.shape) > 1]
    return (scores or [spec.name for spec in outputs])[0]
