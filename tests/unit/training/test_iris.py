"""The trainings on iris: what they export answers as what they fitted, whatever the seed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from mlpatterns.training import MODELS
from mlpatterns.training.contents import input_of
from mlpatterns.training.declare import read_options
from mlpatterns.training.export import export_sklearn
from mlpatterns.training.iris import BINARY, FOREST, SPECIES
from mlpatterns.training.parity import compare, run_onnx
from mlpatterns.user_errors import MissingExtra


def fitted(model: str, seed: int) -> tuple[Any, bytes, Any]:
    """What a training of `model` fits, exports, and the data set it takes."""
    training, own = MODELS[model]
    options = read_options(training, {**own, "seed": seed})
    data = training.adapt(training.load(), options)
    split = training.split(data, options)
    estimator = training.estimator(seed).fit(split.x_train, split.y_train)
    return estimator, training.export(estimator, input_of(data), training.outputs, name=model), data


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_the_forest_answers_as_scikit_learn_does_on_its_thresholds_too(seed: int) -> None:
    estimator, exported, data = fitted("iris_sklearn_rf", seed)
    rows = np.concatenate([data.x, edges(estimator), np.random.default_rng(seed).uniform(0, 9, (500, 4))])
    rows = rows.astype(np.float32)
    answers = FOREST.answers(estimator, rows)
    parity = compare(answers, run_onnx(exported, {"input": rows}), FOREST.margin(answers))
    assert parity.holds, parity
    assert parity.max_difference < 1e-5


def edges(estimator: Any) -> np.ndarray:
    """For each threshold of the first trees a row whose column is on it, within the last digits of a float32."""
    scaler, rows = estimator[1], []
    for tree in estimator[-1].estimators_[:5]:
        for column, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True):
            if column >= 0:
                row = scaler.mean_.copy()
                row[column] += threshold * scaler.scale_[column]
                rows += [row.astype(np.float32), np.nextafter(row.astype(np.float32), np.float32(9))]
    return np.array(rows)


@pytest.mark.parametrize("target", SPECIES)
def test_the_target_comes_first(target: str) -> None:
    estimator, exported, data = fitted(f"iris_binary_{target}", 0)
    assert data.labels == (target, "other")
    answers = run_onnx(exported, {"input": data.x})
    first = answers["probabilities"][:, 0]
    assert first[data.y == 0].mean() > 0.8
    assert first[data.y == 1].mean() < 0.2
    expected = BINARY.answers(estimator, data.x)
    assert compare(expected, answers, BINARY.margin(expected)).holds


def test_without_skl2onnx_the_forest_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx.sklapi", None)
    with pytest.raises(MissingExtra, match=r"mlpatterns\[train\]"):
        FOREST.estimator(0)


def test_without_its_casts_the_forest_would_lose_parity_on_iris_itself() -> None:
    """Why they are there: scaled in float32, some values land on the other side of a threshold."""
    data = FOREST.load()
    pipeline = FOREST.estimator(0)
    bare = make_pipeline(pipeline[1], pipeline[-1]).fit(data.x, data.y)
    exported = export_sklearn(bare, input_of(data), FOREST.outputs, name="bare")
    answers = FOREST.answers(bare, data.x)
    assert not compare(answers, run_onnx(exported, {"input": data.x})).holds
