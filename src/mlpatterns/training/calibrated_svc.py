"""The ONNX graph of a calibrated support vector classifier, with few nodes after the SVM: three for two classes, else
ten.

skl2onnx converts the calibration class by class, in about sixty nodes for three classes. If a server answers one row
at a time, these nodes take more time than the SVM. This module computes all classes together. The training checks the
parity of this graph like that of any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.training.export import convert
from mlpatterns.user_errors import UserError

__all__ = ["export_calibrated_svc"]


def export_calibrated_svc(fitted: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> bytes:
    """The canonical ONNX bytes of ``make_pipeline(…, CalibratedClassifierCV(SVC(), ensemble=False))``; the arguments
    are those of `export_sklearn`.

    Raises:
        MissingExtra: skl2onnx is not installed.
        UserError: it is another estimator.
    """
    model = convert(fitted, spec, outputs, name=name)
    calibrated = fitted[-1]
    if len(getattr(calibrated, "calibrated_classifiers_", ())) != 1:
        raise UserError("only a classifier calibrated with ensemble=False is exported in this way")
    from mlpatterns.training.canonical import canonical

    sigmoids = calibrated.calibrated_classifiers_[0].calibrators
    a, b = (np.array([getattr(sigmoid, name) for sigmoid in sigmoids]) for name in ("a_", "b_"))
    label, probabilities = (output.name for output in outputs)
    decisions = _cut(model.graph, {label, probabilities})
    (_two if len(a) == 1 else _several)(model.graph, decisions, probabilities, a, b)
    _add(model.graph, {}, ("ArgMax", [probabilities], label, {"axis": 1, "keepdims": 0}))
    return canonical(model, name=name)


def _cut(graph: Any, outputs: set[str]) -> str:
    """Ends the graph after its SVMClassifier and returns the name of the decisions; canonical() drops unused nodes."""
    for node in graph.node:
        node.output[:] = [f"unused_{name}" if name in outputs else name for name in node.output]
    svm = next(node for node in graph.node if node.op_type == "SVMClassifier")
    decisions: str = svm.output[1]
    return decisions


def _two(graph: Any, decisions: str, probabilities: str, a: Array, b: Array) -> None:
    """Two classes: the SVM gives d and -d, where d > 0 means the second class. By Platt (1999), the probability of the
    second class is 1 / (1 + exp(a d + b)), the sigmoid of -a d - b; that of the first is the sigmoid of a d + b."""
    constants = {"slopes": np.array([[a[0], -a[0]], [0, 0]]), "bias": np.array([b[0], -b[0]])}
    _add(graph, constants, ("Gemm", [decisions, "tail_slopes", "tail_bias"], "tail_z", {}),
         ("Sigmoid", ["tail_z"], probabilities, {}))  # fmt: skip


def _several(graph: Any, decisions: str, probabilities: str, a: Array, b: Array) -> None:
    """Several classes: computes the probabilities of all classes together from pairwise decisions.

    Let d be the decision of each pair i < j, p = [d < 0], and S the matrix with -1 at (pair, i) and +1 at (pair, j).
    Then scikit-learn's one-vs-rest score (`_ovr_decision_function`) is f = p S + c + u / (3 (|u| + 1)), where u = -d S
    and c counts the pairs in which a class comes first. Platt's probability (1999) is 1 / (1 + exp(a f + b)), the
    sigmoid of -a f - b = p (-a S) + (-a c - b) + softsign(u) (-a / 3).
    """
    pairs = list(combinations(range(len(a)), 2))
    signs = np.zeros((len(pairs), len(a)))
    for row, (first, second) in enumerate(pairs):
        signs[row, first], signs[row, second] = -1, 1
    first_in = np.array([sum(first == k for first, _ in pairs) for k in range(len(a))])
    constants = {
        "zero": np.zeros(1), "votes": -a * signs, "bias": -a * first_in - b, "minus_signs": -signs, "thirds": -a / 3,
    }  # fmt: skip
    _add(
        graph, constants,
        ("Less", [decisions, "tail_zero"], "tail_lost", {}),
        ("Cast", ["tail_lost"], "tail_p", {"to": 1}),
        ("Gemm", ["tail_p", "tail_votes", "tail_bias"], "tail_voted", {}),
        ("MatMul", [decisions, "tail_minus_signs"], "tail_u", {}),
        ("Softsign", ["tail_u"], "tail_soft", {}),
        ("Mul", ["tail_soft", "tail_thirds"], "tail_tie", {}),
        ("Add", ["tail_voted", "tail_tie"], "tail_z", {}),
        ("Sigmoid", ["tail_z"], "tail_sigmoid", {}),
        ("LpNormalization", ["tail_sigmoid"], probabilities, {"axis": 1, "p": 1}),
    )  # fmt: skip


def _add(graph: Any, constants: Mapping[str, Array], *nodes: tuple[str, list[str], str, dict[str, Any]]) -> None:
    """Adds float32 constants and nodes, each (operator, inputs, output, attributes)."""
    from onnx import helper, numpy_helper

    for key, values in constants.items():
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), f"tail_{key}"))
    graph.node.extend(helper.make_node(kind, taken, [made], **options) for kind, taken, made, options in nodes)
