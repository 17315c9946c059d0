"""The outputs of a classifier and its scores: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.training.datasets import Dataset, DataSplit

__all__ = [
    "Answers", "Scores", "classifier_answers", "classifier_margin", "classifier_metrics", "confusion_matrix", "score",
]  # fmt: skip

Answers = Mapping[str, Array]  # a model's outputs by name, [rows, …] each


class Scores(Struct, frozen=True):
    """Scores between 0 and 1; precision, recall and F1 are unweighted means over the classes.

    `confusion` has one row per true class and one column per predicted class.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    confusion: tuple[tuple[int, ...], ...]


def confusion_matrix(truth: Array, answers: Array, classes: int) -> Array:
    """The counts, int64 [classes, classes]: one row per true class, one column per predicted class."""
    cells = truth.astype(np.int64) * classes + answers.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def score(truth: Array, answers: Array, classes: int) -> Scores:
    """Scores the answers of a classifier.

    A class that is never predicted has precision 0. A class that never occurs has recall 0. If both are 0, F1 is 0.
    This is the macro average of scikit-learn with ``zero_division=0``.

    Args:
        truth, answers: the true and the predicted class numbers below `classes`, both [rows], not empty.
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


# ---- the training of a classifier, whose outputs are ``label`` and ``probabilities`` ----


def classifier_answers(fitted: Any, x: Array) -> dict[str, Array]:
    """The outputs of a fitted scikit-learn classifier, by the names of the exported outputs."""
    return {"label": fitted.predict(x), "probabilities": fitted.predict_proba(x)}


def classifier_margin(answers: Answers) -> Array:
    """The difference between the two highest probabilities of each row, [rows]."""
    best = np.sort(answers["probabilities"], axis=1)
    lead: Array = best[:, -1] - best[:, -2]
    return lead


def classifier_metrics(answer: Callable[[Array], Answers], data: Dataset, split: DataSplit) -> dict[str, Any]:
    """Accuracy, macro precision, recall, F1 and the confusion matrix on the test rows."""
    scores = score(split.y_test, answer(split.x_test)["label"], len(data.labels))
    metrics: dict[str, Any] = msgspec.to_builtins(scores)
    return metrics
