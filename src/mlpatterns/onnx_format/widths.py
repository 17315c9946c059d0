"""Finds from the constants of a model how many columns its inputs need, for inputs with a variable second axis.

ONNX Runtime does not check this for every operator: a LinearClassifier for four columns accepts one column and gives
wrong answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["widths"]

PASSING = {"Identity", "Cast", "Scaler", "Imputer", "Normalizer", "Sub", "Add", "Mul", "Div", "Clip", "Dropout"}
PER_COLUMN = ("offset", "scale", "imputed_value_floats")  # attributes with one number for each column, or one for all
LINEAR = {"LinearClassifier", "LinearRegressor"}


def widths(content: bytes) -> dict[str, int]:
    """The number of columns by input name, for the inputs whose first constants determine it.

    Raises:
        ModelFileError: the bytes are not an ONNX model.
    """
    from mlpatterns.onnx_format.messages import read_model

    graph = read_model(content).graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found = {value.name: next(_widths(graph, value.name, constants), 0) for value in graph.input}
    return {name: width for name, width in found.items() if width > 1}


def _widths(graph: Any, name: str, constants: Mapping[str, tuple[int, ...]]) -> Iterator[int]:
    """The numbers of columns that nodes need that use an input, directly or after nodes that keep its columns."""
    for node in graph.node:  # in the order of execution
        if name not in node.input:
            continue
        width = _width(node, name, constants)
        if width > 1:
            yield width
        if node.op_type in PASSING:
            name = node.output[0]


def _width(node: Any, name: str, constants: Mapping[str, tuple[int, ...]]) -> int:
    """The number of columns of `name` that a node needs; 0 if unknown."""
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
