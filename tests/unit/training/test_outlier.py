"""The outlier detector: its score is scikit-learn's, and its flag the score's sign, at the boundary too."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from mlpatterns.metadata import TensorSpec
from mlpatterns.training.datasets import iris, stratified_split
from mlpatterns.training.iris import one_class_svm
from mlpatterns.training.outlier import (
    OUTPUTS,
    export_one_class_svm,
    outlier_answers,
    outlier_margin,
    outlier_metrics,
    unlike,
)
from mlpatterns.training.parity import TOLERANCE, compare, run_onnx

SPEC = TensorSpec("input", "FP32", (-1, 4))
X = iris().x


@pytest.mark.parametrize("seed", range(40))
def test_scores_and_flags_are_those_of_scikit_learn_on_the_rows_that_it_was_fitted_to_too(seed: int) -> None:
    split = stratified_split(iris(), test_size=0.3, seed=seed)
    fitted = one_class_svm(seed).fit(split.x_train)
    rows = np.concatenate([X, unlike(X), np.random.default_rng(seed).uniform(-30, 30, (200, 4)).astype(np.float32)])
    answers = outlier_answers(fitted, rows)
    got = run_onnx(export_one_class_svm(fitted, SPEC, OUTPUTS, name="outlier"), {"input": rows})
    assert {name: (value.dtype.name, value.shape) for name, value in got.items()} == {
        "outlier": ("bool", (len(rows),)), "score": ("float32", (len(rows), 1))
    }  # fmt: skip
    parity = compare(answers, got, outlier_margin(answers))
    assert parity.holds, parity
    assert parity.max_difference < 1e-5
    np.testing.assert_array_equal(got["outlier"], got["score"][:, 0] <= 0)


def test_support_vectors_on_the_boundary_are_ties_and_no_loss_of_parity() -> None:
    fitted = one_class_svm(0).fit(X)
    answers = outlier_answers(fitted, X)
    on_it = outlier_margin(answers) <= TOLERANCE
    assert on_it.any()
    flipped = {**answers, "outlier": answers["outlier"] ^ on_it}
    assert compare(answers, flipped, outlier_margin(answers)).holds
    assert not compare(answers, {**answers, "outlier": ~answers["outlier"]}, outlier_margin(answers)).holds


def test_a_score_of_exactly_zero_is_an_outlier_as_in_libsvm() -> None:
    fitted = make_pipeline(StandardScaler(), OneClassSVM(gamma=1.0)).fit(X)
    fitted[-1].intercept_ = fitted[-1]._intercept_ = np.zeros(1)
    far = np.full((1, 4), 1e4, np.float32)  # its kernel with every support vector is 0
    got = run_onnx(export_one_class_svm(fitted, SPEC, OUTPUTS, name="outlier"), {"input": far})
    assert (got["score"].item(), got["outlier"].item()) == (0.0, True)
    assert outlier_answers(fitted, far)["outlier"].item() is True


def test_the_graph_is_four_nodes() -> None:
    exported = export_one_class_svm(one_class_svm(0).fit(X), SPEC, OUTPUTS, name="outlier")
    kinds = [node.op_type for node in onnx.load(io.BytesIO(exported)).graph.node]
    assert kinds == ["Scaler", "SVMRegressor", "LessOrEqual", "Squeeze"]


def test_what_is_made_up_has_only_values_that_were_seen_and_is_the_same_at_each_call() -> None:
    rows = unlike(X)
    assert (str(rows.dtype), rows.shape) == ("float32", (1000, 4))
    assert (rows.min(axis=0) >= X.min(axis=0)).all()
    assert (rows.max(axis=0) <= X.max(axis=0)).all()
    np.testing.assert_array_equal(rows, unlike(X))


def test_the_rates_are_of_rows_trained_on_others_like_them_and_rows_made_up() -> None:
    data = iris()
    split = stratified_split(data, test_size=0.2, seed=0)
    known = {len(split.x_train): 0.25, len(split.x_test): 0.5, len(unlike(X)): 0.75}

    def answer(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"outlier": np.arange(len(x)) < known[len(x)] * len(x)}

    assert outlier_metrics(answer, data, split) == {
        "outlier_rate_train": 0.25, "outlier_rate_test": 0.5, "outlier_rate_synthetic": 0.75
    }  # fmt: skip
