"""Which inputs of a model have a shape: ONNX Runtime says `[]` of a scalar and of one that may have any rank."""

from __future__ import annotations

__all__ = ["unranked"]


def unranked(content: bytes) -> frozenset[str]:
    """The inputs and outputs that declare no shape at all.

    Raises:
        ModelFileError: the bytes are no ONNX model.
    """
    from mlpatterns.onnx_format.messages import read_model

    graph = read_model(content).graph
    values = [*graph.input, *graph.output]
    return frozenset(value.name for value in values if not value.type.tensor_type.HasField("shape"))
