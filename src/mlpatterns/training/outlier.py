"""The outputs, evaluation and export of an outlier detector.

Its outputs are ``outlier``, whether a row is an outlier, and ``score``, scikit-learn's decision function. The higher
the score, the more a row resembles the training rows; an outlier has a score of 0 or below. The score has no unit, and
only scores of the same model can be compared. A row far from all others has the lowest score, minus the detector's
threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.training.datasets import Dataset, DataSplit
from mlpatterns.training.evaluate import Answers
from mlpatterns.training.export import OPSETS, convert

__all__ = [
    "LABELS", "OUTPUTS", "export_one_class_svm", "outlier_answers", "outlier_margin", "outlier_metrics", "unlike",
]  # fmt: skip

OUTPUTS = (TensorSpec("outlier", "BOOL", (-1,)), TensorSpec("score", "FP32", (-1, 1)))
LABELS = ("outlier", "inlier")  # of a score up to 0, and above 0: the order of scikit-learn's -1 and 1

SYNTHETIC_ROWS = 1000


def outlier_answers(fitted: Any, x: Array) -> dict[str, Array]:
    """The outputs of a fitted scikit-learn outlier detector, by the names of the exported outputs."""
    return {"outlier": fitted.predict(x) < 0, "score": fitted.decision_function(x).reshape(-1, 1)}


def outlier_margin(answers: Answers) -> Array:
    """The absolute score of each row, its distance from 0, [rows]."""
    return np.abs(answers["score"][:, 0])


def outlier_metrics(answer: Callable[[Array], Answers], data: Dataset, split: DataSplit) -> dict[str, Any]:
    """The shares of rows that are called outliers: of the training rows, of the test rows, and of `unlike`."""
    rows = {"train": split.x_train, "test": split.x_test, "synthetic": unlike(data.x)}
    return {f"outlier_rate_{name}": float(np.mean(answer(x)["outlier"])) for name, x in rows.items()}


def unlike(x: Array) -> Array:
    """Synthetic outliers, float32 [1000, fields]: uniform between the minimum and maximum of each column of `x`.

    So each value is usual and most combinations are not. Every call returns the same rows, so that the rates of two
    models can be compared.
    """
    random = np.random.default_rng(0)
    return random.uniform(x.min(axis=0), x.max(axis=0), (SYNTHETIC_ROWS, x.shape[1])).astype(np.float32)


def export_one_class_svm(fitted: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> bytes:
    """The canonical ONNX bytes of ``make_pipeline(…, OneClassSVM())``; the arguments are those of `export_sklearn`.

    The graph of skl2onnx ends with a label of -1 or 1 for the sign of the score. Here `outlier` is computed from the
    score itself, and a score of exactly 0 is an outlier, as in libsvm.

    Raises:
        MissingExtra: skl2onnx is not installed.
    """
    model = convert(fitted, spec, (), name=name)
    from onnx import TensorProto, helper, numpy_helper

    from mlpatterns.training.canonical import canonical

    graph = model.graph
    next(opset for opset in model.opset_import if not opset.domain).version = OPSETS[""]
    svm = next(node for node in graph.node if node.op_type == "SVMRegressor")
    svm.output[0] = outputs[1].name
    zero, columns = np.zeros(1, np.float32), np.array([1], np.int64)
    graph.initializer.extend([numpy_helper.from_array(zero, "zero"), numpy_helper.from_array(columns, "columns")])
    graph.node.extend([
        helper.make_node("LessOrEqual", [outputs[1].name, "zero"], ["flags"]),
        helper.make_node("Squeeze", ["flags", "columns"], [outputs[0].name]),
    ])  # fmt: skip
    del graph.output[:]
    graph.output.extend([
        helper.make_tensor_value_info(outputs[0].name, TensorProto.BOOL, [None]),
        helper.make_tensor_value_info(outputs[1].name, TensorProto.FLOAT, [None, 1]),
    ])  # fmt: skip
    return canonical(model, name=name)
