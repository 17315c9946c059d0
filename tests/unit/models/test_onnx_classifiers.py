"""scikit-learn's classifiers as skl2onnx exports them by default: served, with the classes that they were fitted on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.testing import client
from unit.models.described import answers_of, saved

IRIS = load_iris()
ROWS = IRIS.data.astype(np.float32)
TWO = [("tree", DecisionTreeClassifier(random_state=0)), ("lines", LogisticRegression(max_iter=500))]
CLASSIFIERS: dict[str, Any] = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "ridge": RidgeClassifier(),
    "sgd": SGDClassifier(random_state=0),
    "perceptron": Perceptron(random_state=0),
    "linear_svc": LinearSVC(random_state=0),
    "svc": SVC(),
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(5, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "ada": AdaBoostClassifier(n_estimators=3, random_state=0),
    "bagging": BaggingClassifier(n_estimators=3, random_state=0),
    "gaussian": GaussianNB(),
    "bernoulli": BernoulliNB(binarize=2.0),
    "neighbours": KNeighborsClassifier(3),
    "perceptrons": make_pipeline(StandardScaler(), MLPClassifier((8,), tol=1e-3, max_iter=2000, random_state=0)),
    "lda": LinearDiscriminantAnalysis(),
    "qda": QuadraticDiscriminantAnalysis(),
    "one_vs_rest": OneVsRestClassifier(LogisticRegression()),
    "calibrated": CalibratedClassifierCV(LinearSVC(random_state=0), cv=2),
    "voting": VotingClassifier(TWO, voting="soft", flatten_transform=False),
    "stacking": StackingClassifier(TWO, cv=2),
}
TIES = 0.06  # of rows: a vote or a tie may decide against the highest score


def exported(name: str, folder: Path, count: int, *, zipped: bool = True) -> tuple[Any, np.ndarray[Any, Any], str]:
    """The fitted classifier, rows of its classes, and the reference of its export."""
    kept = IRIS.target < count
    model = CLASSIFIERS[name].fit(ROWS[kept], IRIS.target_names[IRIS.target[kept]])
    options = None if zipped else {"zipmap": False}
    made = convert_sklearn(model, initial_types=[("X", FloatTensorType([None, 4]))], options=options)
    return model, ROWS[kept], saved(folder, made.SerializeToString())


def by_labels(described: Any, outputs: Any) -> list[str]:
    """What the simple API answers: the label itself, the name of the highest score, or of the side of the threshold."""
    scores = outputs[described.primary_output]
    if scores.dtype == object:
        return [text.decode() for text in scores.ravel()]
    if scores.shape[1] == 1:
        assert described.threshold is not None
        return [described.labels[int(score > described.threshold)] for score in scores[:, 0]]
    return [described.labels[place] for place in scores.argmax(axis=1)]


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("count", [2, 3])
def test_the_default_export_answers_with_the_classes_of_scikit_learn(tmp_path: Path, name: str, count: int) -> None:
    model, rows, reference = exported(name, tmp_path, count)
    described, outputs = answers_of(reference, {"X": rows})
    assert described.labels == tuple(IRIS.target_names[:count])
    differ = np.array(by_labels(described, outputs)) != model.predict(rows)
    assert differ.mean() <= TIES


@pytest.mark.parametrize("name", ["forest", "neighbours", "gaussian", "perceptrons", "calibrated"])
def test_without_zipmap_the_classes_are_found_too(tmp_path: Path, name: str) -> None:
    _, rows, reference = exported(name, tmp_path, 3, zipped=False)
    described, outputs = answers_of(reference, {"X": rows})
    assert described.labels == tuple(IRIS.target_names)
    labels = [text.decode() for text in outputs["label"]]
    assert np.mean([a != b for a, b in zip(by_labels(described, outputs), labels, strict=True)]) <= TIES


def test_two_classes_without_probabilities_have_their_scores_in_another_order_and_are_served_by_their_label(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, rows, reference = exported("svc", tmp_path, 2)
    described, outputs = answers_of(reference, {"X": rows})
    assert described.primary_output == "output_label"
    assert by_labels(described, outputs) == model.predict(rows).tolist()
    assert "are in another order than its classes setosa, versicolor" in caplog.text


def test_over_http_it_is_asked_as_any_other(tmp_path: Path) -> None:
    model, rows, reference = exported("boosting", tmp_path, 3)

    async def main() -> None:
        async with client(lambda: OnnxModel(reference)) as http:
            label = await http.post("/predict/label", json={"data": rows.tolist()})
            assert label.json()["prediction"] == model.predict(rows).tolist()
            scores = (await http.post("/predict", json={"data": rows[:2].tolist()})).json()["prediction"]
            assert np.allclose(scores, model.predict_proba(rows[:2]), atol=1e-5)
            for path in ("/metadata", "/docs", "/openapi.json", "/predict/test", "/label"):
                assert (await http.get(path)).status_code == 200, path
            assert (await http.get("/label")).json() == {"0": "setosa", "1": "versicolor", "2": "virginica"}

    asyncio.run(main())
