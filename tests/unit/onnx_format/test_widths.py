"""How many columns an input needs is read from the first constants on its way."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import TensorProto as T
from onnx import helper

from mlpatterns.onnx_format.ranks import unranked
from mlpatterns.onnx_format.widths import widths
from onnx_graphs import ML, classifier, floats, made

FREE = {"x": floats("n", "m")}


def constant(name: str, *dims: int) -> Any:
    size = 1
    for dim in dims:
        size *= dim
    return helper.make_tensor(name, T.FLOAT, dims, [1.0] * size)


def chain(*nodes: Any, constants: tuple[Any, ...] = ()) -> bytes:
    return made(nodes, FREE, {"y": floats("n", "k")}, *constants)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (classifier(["a", "b", "c"]), {"x": 2}),
        (chain(helper.make_node("MatMul", ["x", "w"], ["y"]), constants=(constant("w", 5, 2),)), {"x": 5}),
        (chain(helper.make_node("Gemm", ["x", "w"], ["y"]), constants=(constant("w", 5, 2),)), {"x": 5}),
        (chain(helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), constants=(constant("w", 2, 5),)), {"x": 5}),
        (chain(helper.make_node("Scaler", ["x"], ["y"], domain=ML, offset=[1.0] * 4, scale=[1.0] * 4)), {"x": 4}),
        (chain(helper.make_node("Cast", ["x"], ["c"], to=T.FLOAT), helper.make_node("Sub", ["c", "mean"], ["y"]),
               constants=(constant("mean", 6),)), {"x": 6}),
        (chain(helper.make_node("LinearRegressor", ["x"], ["y"], domain=ML, coefficients=[1.0] * 6, targets=2,
                                intercepts=[0.0, 0.0])), {"x": 3}),
        (chain(helper.make_node("Mul", ["x", "one"], ["y"]), constants=(constant("one", 1),)), {}),
        (chain(helper.make_node("Softmax", ["x"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["y"]),
               constants=(constant("w", 5, 2),)), {}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_columns_are_counted(content: bytes, expected: dict[str, int]) -> None:
    assert widths(content) == expected


def test_what_declares_no_shape_is_told_from_a_scalar() -> None:
    node = helper.make_node("Add", ["x", "s"], ["y"])
    content = made([node], {"x": (T.FLOAT, None), "s": (T.FLOAT, [])}, {"y": (T.FLOAT, None)})
    assert unranked(content) == {"x", "y"}
