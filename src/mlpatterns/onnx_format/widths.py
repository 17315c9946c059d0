"""How many columns a model's inputs need, where their second axis is declared free: its first constants say it.

ONNX Runtime does not check this for every operator: a LinearClassifier of four columns answers to one, with nonsense.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["widths"]

PASSING = {"Identity", "Cast", "Scaler", "Imputer", "Normalizer", "Sub", "Add", "Mul", "Div", "Clip", "Dropout"}
PER_COLUMN = ("offset", "scale", "imputed_value_floats")  # attributes with a number for each column, or one for all
LINEAR = {"LinearClassifier", "LinearRegressor"}


def widths(content: bytes) -> dict[str, int]:
    """The columns of the inputs by name; of those alone whose first constants tell it.

    Raises:
        ModelFileError: the bytes are no ONNX model.
    """
    from mlpatterns.onnx_format.messages import read_model

    graph = read_model(content).graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found = {value.name: next(_widths(graph, value.name, constants), 0) for value in graph.input}
    return {name: width for name, width in found.items() if width > 1}


def _widths(graph: Any, name: str, constants: Mapping[str, tuple[int, ...]]) -> Iterator[int]:
    """What each node says on the way of an input, as long as its columns stay what they are."""
    for node in graph.node:  # they are in the order of their work
        if name not in node.input:
            continue
        width = _width(node, name, constants)
        if width > 1:
            yield width
        if node.op_type in PASSING:
            name = node.output[0]


def _width(node: Any, name: str, constants: Mapping[str, tuple[int, ...]]) -> int:
    """The columns of `name` that a node takes; 0 if it does not say."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type in LINEAR and "coefficients" in attributes:
        targets = len(attributes["intercepts"].floats) if "intercepts" in attributes else 1
        if "targets" in attributes:
            targets = attributes["targets"].i
        return int(len(attributes["coefficients"].floats) // max(1, targets))
    if node.op_type in ("MatMul", "Gemm") and node.input[0] == name:
        dims = constants.get(node.input[1], ())
        across = node.op_type == "Gemm" and "transB" in attributes and attributes["transB"].i
        return dims[1 if across else 0] if len(dims) == 2 else 0
    if node.op_type in PASSING:
        sizes = [len(attributes[key].floats) for key in PER_COLUMN if key in attributes]
        sizes += [constants[other][-1] for other in node.input if constants.get(other)]
        return max(sizes, default=0)
    return 0
