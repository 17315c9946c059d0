"""What a training of a classifier answers and measures, whose outputs are ``label`` and ``probabilities``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from mlpatterns.metadata import Array
from mlpatterns.training.datasets import Dataset, Split
from mlpatterns.training.evaluate import Answers, score

__all__ = ["classifier_answers", "classifier_margin", "classifier_metrics"]


def classifier_answers(fitted: Any, x: Array) -> dict[str, Array]:
    """What a fitted scikit-learn classifier answers, by the names of the exported outputs."""
    return {"label": fitted.predict(x), "probabilities": fitted.predict_proba(x)}


def classifier_margin(answers: Answers) -> Array:
    """By how much the most probable class of each row leads, [rows]."""
    best = np.sort(answers["probabilities"], axis=1)
    lead: Array = best[:, -1] - best[:, -2]
    return lead


def classifier_metrics(answer: Callable[[Array], Answers], data: Dataset, split: Split) -> dict[str, Any]:
    """Accuracy, macro precision, recall, F1 and the confusion matrix, on the rows that were not trained on."""
    scores = score(split.y_test, answer(split.x_test)["label"], len(data.labels))
    metrics: dict[str, Any] = msgspec.to_builtins(scores)
    return metrics
