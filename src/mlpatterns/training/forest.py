"""The ONNX graph of a random forest on standardised columns as one node: the thresholds contain the scaling.

skl2onnx writes casts and a scaler before the trees and casts after them, which take a quarter of the time of a row. A
tree only tests whether a scaled value is at most its threshold. Because scaling is monotone, the same test can be made
on the original value: whether it is at most the greatest float32 that passes. So nothing is approximated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.training.export import convert
from mlpatterns.user_errors import UserError

__all__ = ["export_forest", "unscaled"]

SIGN = np.int64(1) << 31


def export_forest(fitted: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> bytes:
    """The canonical ONNX bytes of ``make_pipeline(CastTransformer(float64), StandardScaler(), CastTransformer(float32),
    RandomForestClassifier())``; the arguments are those of `export_sklearn`.

    Raises:
        MissingExtra: skl2onnx is not installed.
        UserError: a tree has a test other than whether a value is at most a threshold.
    """
    model = convert(fitted, spec, outputs, name=name)
    from mlpatterns.training.canonical import canonical

    trees = next(node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier")
    ours = {output.name for output in outputs}
    for node in model.graph.node:
        node.output[:] = [f"unused_{made}" if made in ours else made for made in node.output]
    trees.input[:], trees.output[:] = [spec.name], [output.name for output in outputs]
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    if set(attributes["nodes_modes"].strings) - {b"BRANCH_LEQ", b"LEAF"}:
        raise UserError("only trees that ask whether a value is at most a threshold are exported so")
    columns, values = np.array(attributes["nodes_featureids"].ints), attributes["nodes_values"].floats
    scaler = fitted[1]
    found = unscaled(np.array(values, np.float32), scaler.mean_[columns], scaler.scale_[columns])
    inner = np.array(attributes["nodes_modes"].strings) == b"BRANCH_LEQ"
    values[:] = np.where(inner, found, np.float32(0)).tolist()
    return canonical(model, name=name)


def unscaled(thresholds: Array, mean: Array, scale: Array) -> Array:
    """For each float32 threshold, the greatest float32 x with ``float32((x - mean) / scale) <= threshold``.

    It is found by bisection: the bits of floats, read as integers, have the order of the floats, apart from the sign.
    """
    low = np.full(len(thresholds), -_bits(np.float32(np.inf)))
    high = -low
    while (high - low > 1).any():
        middle = (low + high) // 2
        with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, as in a graph
            fits = ((_floats(middle).astype(np.float64) - mean) / scale).astype(np.float32) <= thresholds
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return _floats(low)


def _bits(value: Any) -> Any:
    return value.view(np.int32).astype(np.int64)


def _floats(order: Array) -> Array:
    """The floats at these positions in the order of all floats; the float 0 has position 0."""
    bits = np.where(order >= 0, order, SIGN - order).astype(np.uint32)
    floats: Array = bits.view(np.float32)
    return floats
