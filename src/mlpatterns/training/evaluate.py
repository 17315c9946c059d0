"""How good a classifier is, from the classes it gave: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array

__all__ = ["Answers", "Scores", "confusion_matrix", "score"]

Answers = Mapping[str, Array]  # a model's outputs by name, [rows, …] each


class Scores(Struct, frozen=True):
    """Scores between 0 and 1; precision, recall and F1 are means over the classes, each class weighing the same.

    `confusion` has a row a true class and a column a class that was answered.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    confusion: tuple[tuple[int, ...], ...]


def confusion_matrix(truth: Array, answers: Array, classes: int) -> Array:
    """Counts, int64 [classes, classes]: the true class down, the answered class across."""
    cells = truth.astype(np.int64) * classes + answers.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def score(truth: Array, answers: Array, classes: int) -> Scores:
    """Scores the answers of a classifier.

    A class that was never answered has precision 0, one that never occurs has recall 0, and F1 is 0 where both are
    (the macro average of scikit-learn with ``zero_division=0``).

    Args:
        truth, answers: class numbers below `classes`, both [rows], not empty.
    """
    confusion = confusion_matrix(truth, answers, classes)
    hits, answered, occurred = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    return Scores(
        accuracy=float(hits.sum() / confusion.sum()),
        precision=_mean_ratio(hits, answered),
        recall=_mean_ratio(hits, occurred),
        f1=_mean_ratio(2 * hits, answered + occurred),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def _mean_ratio(part: Array, whole: Array) -> float:
    return float(np.mean(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)))
