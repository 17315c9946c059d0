"""Models with unusual inputs or outputs. Each function writes a model to a file and returns its labels, if any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto as T
from onnx import helper

__all__ = ["ODD", "Make", "no_number", "save", "texts"]

Make = Callable[[Path], tuple[str, ...]]
Sides = Mapping[str, tuple[int, Sequence[Any]]]


def save(path: Path, nodes: Sequence[Any], inputs: Sides, outputs: Sides, *constants: Any) -> None:
    """Writes a model; `inputs` and `outputs` are tensors by name, each (element type, shape)."""
    sides = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "odd", sides[0], sides[1], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def texts(path: Path) -> tuple[str, ...]:
    """`word` -> `taken`, the word that it recognised, and `scores` of two classes, which are not the first output."""
    nodes = [
        helper.make_node("LabelEncoder", ["word"], ["score"], domain="ai.onnx.ml",
                         keys_strings=["apple", "carrot"], values_floats=[0.9, 0.2], default_float=0.5),
        helper.make_node("Sub", ["one", "score"], ["other"]),
        helper.make_node("Concat", ["score", "other"], ["scores"], axis=1),
        helper.make_node("LabelEncoder", ["score"], ["taken"], domain="ai.onnx.ml",
                         keys_floats=[0.9, 0.2], values_strings=["apple", "carrot"], default_string="?"),
    ]  # fmt: skip
    outputs = {"taken": (T.STRING, ["n", 1]), "scores": (T.FLOAT, ["n", 2])}
    save(path, nodes, {"word": (T.STRING, ["n", 1])}, outputs, helper.make_tensor("one", T.FLOAT, [1], [1.0]))
    return ("fruit", "vegetable")


def picture(path: Path) -> tuple[str, ...]:
    """One picture with three colours per request -> the mean of each colour."""
    nodes = [helper.make_node("GlobalAveragePool", ["pixels"], ["means"]),
             helper.make_node("Flatten", ["means"], ["colours"])]  # fmt: skip
    save(path, nodes, {"pixels": (T.FLOAT, [1, 3, 8, 8])}, {"colours": (T.FLOAT, [1, 3])})
    return ("red", "green", "blue")


def large_picture(path: Path) -> tuple[str, ...]:
    """Pictures with more numbers than a document can show."""
    nodes = [helper.make_node("GlobalAveragePool", ["pixels"], ["means"])]
    save(path, nodes, {"pixels": (T.FLOAT, ["n", 3, 64, 64])}, {"means": (T.FLOAT, ["n", 3, 1, 1])})
    return ()


def two_inputs(path: Path) -> tuple[str, ...]:
    """Two inputs, which the simple API cannot send."""
    nodes = [helper.make_node("Where", ["flags", "counts", "counts"], ["chosen"]),
             helper.make_node("Cast", ["chosen"], ["half"], to=T.FLOAT16)]  # fmt: skip
    inputs = {"counts": (T.INT32, ["n", 2]), "flags": (T.BOOL, ["n", 1])}
    save(path, nodes, inputs, {"chosen": (T.INT32, ["n", 2]), "half": (T.FLOAT16, ["n", 2])})
    return ()


def integers(path: Path) -> tuple[str, ...]:
    """Integers [n, 3, 2] -> one integer per row."""
    nodes = [helper.make_node("ReduceSum", ["cube", "axes"], ["sums"], keepdims=0)]
    axes = helper.make_tensor("axes", T.INT64, [2], [1, 2])
    save(path, nodes, {"cube": (T.INT64, ["n", 3, 2])}, {"sums": (T.INT64, ["n"])}, axes)
    return ()


def scalar(path: Path) -> tuple[str, ...]:
    """A scalar input and output, without rows."""
    save(path, [helper.make_node("Add", ["x", "x"], ["y"])], {"x": (T.DOUBLE, [])}, {"y": (T.DOUBLE, [])})
    return ()


def vector(path: Path) -> tuple[str, ...]:
    """Exactly four bytes, whose axis is not a batch."""
    save(path, [helper.make_node("Identity", ["x"], ["y"])], {"x": (T.UINT8, [4])}, {"y": (T.UINT8, [4])})
    return ()


def sequence(path: Path) -> tuple[str, ...]:
    """A variable first axis that is not a batch: each element of the answer depends on all elements."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["sum"]), helper.make_node("Add", ["x", "sum"], ["y"])]
    save(path, nodes, {"x": (T.FLOAT, ["n", 2])}, {"y": (T.FLOAT, ["n", 2])})
    return ()


def logarithm(path: Path) -> tuple[str, ...]:
    """Infinite for zeros, which are the first sample that is tried."""
    save(path, [helper.make_node("Log", ["x"], ["y"])], {"x": (T.FLOAT, ["n", 2])}, {"y": (T.FLOAT, ["n", 2])})
    return ()


def columns_of_texts(path: Path) -> tuple[str, ...]:
    """Two texts per row, which the simple API cannot send."""
    nodes = [helper.make_node("Identity", ["words"], ["same"])]
    save(path, nodes, {"words": (T.STRING, ["n", 2])}, {"same": (T.STRING, ["n", 2])})
    return ()


def no_number(path: Path) -> tuple[str, ...]:
    """NaN for every input."""
    never = helper.make_tensor("never", T.FLOAT, [1], [float("nan")])
    nodes = [helper.make_node("Add", ["x", "never"], ["y"])]
    save(path, nodes, {"x": (T.FLOAT, ["n", 2])}, {"y": (T.FLOAT, ["n", 2])}, never)
    return ()


ODD: tuple[Make, ...] = (
    picture, large_picture, two_inputs, integers, scalar, vector, sequence, logarithm, columns_of_texts,
)  # fmt: skip
