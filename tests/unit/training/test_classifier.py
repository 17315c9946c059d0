"""What a classifier's training answers and measures."""

from __future__ import annotations

import numpy as np

from mlpatterns.training.datasets import iris, stratified_split
from mlpatterns.training.evaluate import classifier_margin, classifier_metrics


def test_the_margin_is_the_lead_of_the_most_probable_class() -> None:
    answers = {"probabilities": np.array([[0.2, 0.7, 0.1], [0.4, 0.2, 0.4]])}
    np.testing.assert_allclose(classifier_margin(answers), [0.5, 0.0])


def test_the_metrics_are_those_of_the_rows_that_were_not_trained_on() -> None:
    data = iris()
    split = stratified_split(data, test_size=0.2, seed=0)
    metrics = classifier_metrics(lambda x: {"label": np.zeros(len(x), np.int64)}, data, split)
    assert metrics["confusion"] == ((10, 0, 0),) * 3
    assert metrics["accuracy"] == 1 / 3
