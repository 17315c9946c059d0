"""Models with a known prediction time: as many matrix products as take this time on one thread of this machine."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.models import ROW, save_graph

__all__ = ["heavy", "milliseconds_of"]

SIDE = 256  # of the matrices: 33.6 million multiplications and additions a product, all of it in the caches
CALLS = 9
PRODUCTS, CORRECTIONS, CLOSE = 20, 4, 0.1  # the first guess, how often it is mended, and what is good enough


def heavy(folder: Path, milliseconds: float) -> Path:
    """A model of iris' rows and three classes that takes about `milliseconds` for a row, twice that for two rows.

    It computes, as a model does, while ONNX Runtime lets other threads run; a model that sleeps would do neither.
    """
    path, products = folder / f"ms{milliseconds:g}.onnx", PRODUCTS
    for _ in range(CORRECTIONS):
        took = milliseconds_of(_make(path, products))
        if abs(took / milliseconds - 1) < CLOSE:
            return path
        products = max(1, round(products * milliseconds / took))
    return _make(path, products)


def milliseconds_of(model: Path) -> float:
    """What one row takes in ONNX Runtime itself with one thread: the shortest of some calls."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    row = {"input": np.array([ROW], dtype=np.float32)}
    session.run(None, row)
    found = []
    for _ in range(CALLS):
        began = perf_counter()
        session.run(None, row)
        found.append(1e3 * (perf_counter() - began))
    return min(found)  # what is more than that is a disturbance


def _make(path: Path, products: int) -> Path:
    """The row is spread over a square matrix, which is turned `products` times; a turn keeps its length."""
    from onnx import TensorProto, helper

    chance = np.random.default_rng(7)
    turn = np.linalg.qr(chance.standard_normal((SIDE, SIDE)))[0].astype(np.float32)
    weights = {
        "spread": chance.standard_normal((4, SIDE * SIDE)).astype(np.float32),
        "turn": turn,
        "last": 0.2 * chance.standard_normal((SIDE, 3)).astype(np.float32),
    }
    square = np.array([-1, SIDE, SIDE], dtype=np.int64)
    nodes = [
        helper.make_node("MatMul", ["input", "spread"], ["wide"]),
        helper.make_node("Reshape", ["wide", "square"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{i}", "turn"], [f"m{i + 1}"]) for i in range(products)),
        helper.make_node("ReduceMean", [f"m{products}"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    constants: list[Any] = [
        helper.make_tensor(name, TensorProto.FLOAT, its.shape, its.tobytes(), raw=True) for name, its in weights.items()
    ]
    constants.append(helper.make_tensor("square", TensorProto.INT64, square.shape, square.tobytes(), raw=True))
    rows = helper.make_tensor_value_info("input", TensorProto.FLOAT, (None, 4))
    found = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, (None, 3))
    return save_graph(path, helper.make_graph(nodes, path.stem, [rows], [found], constants))
