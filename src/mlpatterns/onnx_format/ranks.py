"""Finds inputs and outputs without a shape. ONNX Runtime reports `[]` both for a scalar and for any rank."""

from __future__ import annotations

__all__ = ["unranked"]


def unranked(content: bytes) -> frozenset[str]:
    """The inputs and outputs that declare no shape at all.

    Raises:
        ModelFileError: the bytes are not an ONNX model.
    """
    from mlpatterns.onnx_format.messages import read_model

    graph = read_model(content).graph
    values = [*graph.input, *graph.output]
    return frozenset(value.name for value in values if not value.type.tensor_type.HasField("shape"))
