"""Models with weights in other files: each multiplies its input by a factor."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import TensorProto as T
from onnx import helper, numpy_helper

__all__ = ["Where", "outside", "weighted"]

Where = Literal["initializer", "constant", "branch", "function"]


def weighted(path: Path, factor: float, location: str = "weights.bin", where: Where = "initializer") -> Path:
    """Writes `path` and, beside it, the file `location` with the factor.

    Args:
        where: the part of the model that contains the tensor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_model(outside(path.parent, location, factor), where).SerializeToString())
    return path


def outside(folder: Path, location: str, *values: float) -> Any:
    """The tensor `W`, whose values start at byte 8 of a file. Without values the file is not written."""
    tensor = numpy_helper.from_array(np.array(values or [1.0], np.float32), "W")
    content, tensor.data_location = tensor.raw_data, T.EXTERNAL
    tensor.ClearField("raw_data")
    for key, value in (("location", location), ("offset", "8"), ("length", str(len(content)))):
        tensor.external_data.add(key=key, value=value)
    if values:
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        (folder / location).write_bytes(b"unused  " + content)
    return tensor


def _model(tensor: Any, where: Where) -> Any:
    x, y = (helper.make_tensor_value_info(name, T.FLOAT, ["n", 1]) for name in ("x", "y"))
    constant, multiply = (
        helper.make_node("Constant", [], ["W"], value=tensor),
        helper.make_node("Mul", ["x", "W"], ["y"]),
    )
    functions, nodes, initializers = [], [multiply], []
    if where == "initializer":
        initializers = [tensor]
    elif where == "constant":
        nodes = [constant, multiply]
    elif where == "function":
        opset = helper.make_opsetid("", 17)
        functions = [helper.make_function("own", "Times", ["x"], ["y"], [constant, multiply], [opset])]
        nodes = [helper.make_node("Times", ["x"], ["y"], domain="own")]
    else:
        inner = [helper.make_node("Mul", ["x", "W"], ["z"])]
        branch = helper.make_graph(inner, "b", [], [helper.make_tensor_value_info("z", T.FLOAT, ["n", 1])], [tensor])
        nodes = [helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)]
        initializers = [helper.make_tensor("yes", T.BOOL, [], [True])]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)
