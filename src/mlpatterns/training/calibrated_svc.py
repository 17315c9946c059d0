"""The ONNX of a calibrated support vector classifier, with its tail in ten nodes.

skl2onnx writes what follows the SVM class by class, some sixty nodes, and a server that answers one row at a time pays
for each of them more than for the SVM. Here all classes go through together; parity is proven for this form as for any.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from mlpatterns.errors import UserError
from mlpatterns.predictor import Array, TensorSpec
from mlpatterns.training.export import convert

__all__ = ["export_calibrated_svc"]


def export_calibrated_svc(fitted: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> bytes:
    """The canonical ONNX of ``make_pipeline(…, CalibratedClassifierCV(SVC(), ensemble=False))`` for three or more
    classes; the arguments are those of `export_sklearn`.

    Raises:
        MissingExtra: without skl2onnx.
        UserError: for another estimator.
    """
    model = convert(fitted, spec, outputs, name=name)
    calibrated = fitted[-1]
    if len(getattr(calibrated, "calibrated_classifiers_", ())) != 1 or len(calibrated.classes_) < 3:
        raise UserError("only a classifier calibrated with ensemble=False, for three or more classes, is exported so")
    from mlpatterns.training.canonical import canonical

    _replace_tail(model.graph, outputs, *_matrices(calibrated.calibrated_classifiers_[0]))
    return canonical(model, name=name)


def _matrices(calibrated: Any) -> tuple[Array, Array, Array]:
    """(votes, bias, slopes): from pairwise decisions to what the sigmoids take.

    With d the decision of each pair i < j, p = [d < 0] and S the matrix that has -1 at (pair, i) and +1 at (pair, j),
    scikit-learn's one-vs-rest score (`_ovr_decision_function`) is f = p S + c + u / (3 (|u| + 1)), where u = -d S and
    c counts the pairs in which a class comes first. Platt's probability (1999) is 1 / (1 + exp(a f + b)), that is the
    sigmoid of -a f - b = p (-a S) + (-a c - b) + softsign(u) (-a / 3).
    """
    classes = len(calibrated.calibrators)
    pairs = list(combinations(range(classes), 2))
    signs = np.zeros((len(pairs), classes))
    for row, (first, second) in enumerate(pairs):
        signs[row, first], signs[row, second] = -1, 1
    first_in = np.array([sum(first == k for first, _ in pairs) for k in range(classes)])
    a = np.array([sigmoid.a_ for sigmoid in calibrated.calibrators])
    b = np.array([sigmoid.b_ for sigmoid in calibrated.calibrators])
    return -a * signs, -a * first_in - b, np.concatenate([signs, [-a / 3]])


def _replace_tail(graph: Any, outputs: tuple[TensorSpec, ...], votes: Array, bias: Array, slopes: Array) -> None:
    """Ends the graph after its SVMClassifier and writes the rest anew; canonical() drops what nothing needs."""
    from onnx import helper, numpy_helper

    label, probabilities = (output.name for output in outputs)
    svm = next(node for node in graph.node if node.op_type == "SVMClassifier")
    for node in graph.node:
        node.output[:] = [f"unused_{name}" if name in (label, probabilities) else name for name in node.output]
    constants = {"zero": np.zeros(1), "votes": votes, "bias": bias, "minus_signs": -slopes[:-1], "thirds": slopes[-1]}
    for key, values in constants.items():
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), f"tail_{key}"))
    decisions = svm.output[1]
    graph.node.extend([
        helper.make_node("Less", [decisions, "tail_zero"], ["tail_lost"]),
        helper.make_node("Cast", ["tail_lost"], ["tail_p"], to=1),
        helper.make_node("Gemm", ["tail_p", "tail_votes", "tail_bias"], ["tail_voted"]),
        helper.make_node("MatMul", [decisions, "tail_minus_signs"], ["tail_u"]),
        helper.make_node("Softsign", ["tail_u"], ["tail_soft"]),
        helper.make_node("Mul", ["tail_soft", "tail_thirds"], ["tail_tie"]),
        helper.make_node("Add", ["tail_voted", "tail_tie"], ["tail_z"]),
        helper.make_node("Sigmoid", ["tail_z"], ["tail_sigmoid"]),
        helper.make_node("LpNormalization", ["tail_sigmoid"], [probabilities], axis=1, p=1),
        helper.make_node("ArgMax", [probabilities], [label], axis=1, keepdims=0),
    ])  # fmt: skip
