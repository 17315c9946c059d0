"""Models of rows that differ in properties that a release must preserve: the number of columns, the answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from odd_models import save

__all__ = ["length", "noise", "weighted"]


def weighted(path: Path, columns: int = 3, weight: float = 1.0) -> Path:
    """`x` [n, columns] -> `scores` [n, 2]: the sum of the row times the weight, and twice that."""
    weights = np.full((columns, 2), weight, np.float32) * np.array([1, 2], np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    sides = {"x": (T.FLOAT, ["n", columns])}, {"scores": (T.FLOAT, ["n", 2])}
    save(path, nodes, *sides, numpy_helper.from_array(weights, "w"))
    return path


def length(path: Path) -> Path:
    """`x` [n, 2] -> `y`: each row divided by its length; the answer for zeros is NaN."""
    nodes = [
        helper.make_node("ReduceL2", ["x"], ["l"], axes=[1], keepdims=1),
        helper.make_node("Div", ["x", "l"], ["y"]),
    ]
    save(path, nodes, {"x": (T.FLOAT, ["n", 2])}, {"y": (T.FLOAT, ["n", 2])})
    return path


def noise(path: Path) -> Path:
    """`x` [n, 2] -> `y`: random, so that the answer differs each time."""
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    save(path, nodes, {"x": (T.FLOAT, ["n", 2])}, {"y": (T.FLOAT, ["n", 2])})
    return path
