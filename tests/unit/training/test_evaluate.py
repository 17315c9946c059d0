"""Scores against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from mlpatterns.training.evaluate import confusion_matrix, score


def test_scores_are_those_worked_out_by_hand() -> None:
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    scores = score(truth, answers, 3)
    assert scores.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 1))
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.precision == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert scores.recall == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scores.f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_a_class_that_is_never_answered_or_never_occurs_scores_zero() -> None:
    scores = score(np.array([0, 0, 1]), np.array([0, 0, 0]), 3)
    assert scores.precision == pytest.approx(2 / 9)
    assert scores.recall == pytest.approx(1 / 3)


def test_confusion_has_the_truth_down_and_the_answers_across() -> None:
    assert confusion_matrix(np.array([0, 0]), np.array([1, 1]), 2).tolist() == [[0, 2], [0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, answers = random.integers(0, 4, 50), random.integers(0, 4, 50)
    scores, options = score(truth, answers, 4), {"average": "macro", "zero_division": 0}
    assert scores.accuracy == pytest.approx(accuracy_score(truth, answers))
    assert scores.precision == pytest.approx(precision_score(truth, answers, **options))
    assert scores.recall == pytest.approx(recall_score(truth, answers, **options))
    assert scores.f1 == pytest.approx(f1_score(truth, answers, **options))
