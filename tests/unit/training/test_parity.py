"""Parity: what counts as the same answer."""

from __future__ import annotations

import numpy as np
import pytest

from mlpatterns.training.parity import Parity, compare, require, run_onnx
from mlpatterns.user_errors import ModelFileError, UserError

LABELS, SCORES = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])


def test_the_largest_difference_and_the_other_labels_are_counted() -> None:
    got = {"label": np.array([0, 0]), "scores": (SCORES + np.array([0, 0.001])).astype(np.float32)}
    parity = compare({"label": LABELS, "scores": SCORES}, got)
    assert parity.max_difference == pytest.approx(0.001, abs=1e-6)
    assert (parity.other_labels, parity.rows, parity.holds) == (1, 2, False)


def test_equal_answers_hold() -> None:
    parity = compare({"label": LABELS, "scores": SCORES}, {"label": LABELS, "scores": SCORES.astype(np.float32)})
    assert parity.holds
    require(parity)


@pytest.mark.parametrize(
    "got",
    [{}, {"scores": SCORES[:1]}, {"scores": np.full_like(SCORES, np.nan)}],
    ids=["missing", "another shape", "NaN"],
)
def test_what_cannot_be_compared_does_not_hold(got: dict[str, np.ndarray]) -> None:
    assert not compare({"scores": SCORES}, got).holds


def test_lost_parity_is_refused_with_the_figures() -> None:
    with pytest.raises(UserError, match=r"by 0\.000213 \(at most 0\.0001 is allowed\) and in 2 of 45 labels"):
        require(Parity(0.000213, 2, 45))


def test_bytes_that_are_no_model_are_said_so() -> None:
    with pytest.raises(ModelFileError, match="cannot run the exported model"):
        run_onnx(b"nonsense", {})


def test_a_row_within_the_tolerance_of_another_label_is_a_tie_and_not_a_difference() -> None:
    expected = {"label": LABELS, "scores": SCORES}
    got = {"label": 1 - LABELS, "scores": SCORES}
    parity = compare(expected, got, np.array([0.00005, 0.8]))
    assert (parity.other_labels, parity.ties, parity.holds) == (1, 1, False)
    assert compare(expected, got, np.array([0.00005, 0.0])).holds


def test_the_scores_of_a_tie_are_compared_all_the_same() -> None:
    assert not compare({"scores": SCORES}, {"scores": SCORES + 0.01}, np.zeros(2)).holds


def test_a_margin_that_is_no_number_is_no_excuse() -> None:
    other = {"label": 1 - LABELS}
    assert compare({"label": LABELS}, other, np.array([np.nan, np.nan])).other_labels == 2
