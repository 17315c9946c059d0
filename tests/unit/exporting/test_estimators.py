"""export of scikit-learn's estimators and pipelines of arrays: outputs, names inside, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM

from mlpatterns import UserError, export
from unit.exporting.written import asked, inside, opened, served

IRIS = load_iris()
X, Y, NAMES = IRIS.data, IRIS.target, IRIS.target_names
LARGE = Y > 0
SCORED = [
    RidgeClassifier(), SGDClassifier(random_state=0), SVC(), LinearSVC(), make_pipeline(StandardScaler(), LinearSVC()),
]  # fmt: skip
LIKELY = [
    LogisticRegression(max_iter=500), RandomForestClassifier(5, random_state=0), GaussianNB(),
    make_pipeline(StandardScaler(), LogisticRegression()), GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-3]}),
    CalibratedClassifierCV(GaussianNB()), QuadraticDiscriminantAnalysis(), GradientBoostingClassifier(n_estimators=5),
    VotingClassifier([("a", GaussianNB()), ("b", QuadraticDiscriminantAnalysis())], voting="soft"),
    StackingClassifier([("a", GaussianNB()), ("b", QuadraticDiscriminantAnalysis())]),
]  # fmt: skip


def named(value: Any) -> str:
    return type(value).__name__


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("model", LIKELY, ids=named)
def test_a_classifier_answers_with_its_label_and_its_probabilities(path: Path, model: Any) -> None:
    model.fit(X, NAMES[Y])
    written = export(model, path, X)
    got = asked(path, input=X)
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(X), atol=1e-4)
    assert got["label"].tolist() == model.predict(X).tolist()
    assert inside(path)["labels"] == list(NAMES)
    assert written.metadata.primary_output == "probabilities"


@pytest.mark.parametrize("model", SCORED, ids=named)
def test_without_probabilities_it_answers_with_the_scores_of_its_decision(path: Path, model: Any) -> None:
    model.fit(X, Y)
    export(model, path, X)
    got = asked(path, input=X)
    np.testing.assert_allclose(got["scores"], model.decision_function(X), rtol=1e-3, atol=1e-4)
    assert inside(path)["labels"] == ["0", "1", "2"]


@pytest.mark.parametrize("model", SCORED, ids=named)
def test_one_score_of_two_classes_comes_with_its_threshold(path: Path, model: Any) -> None:
    model.fit(X, LARGE)
    export(model, path, X, labels=["small", "large"])
    got, record = asked(path, input=X), inside(path)
    assert got["scores"].shape == (150, 1)
    assert (record["labels"], record["threshold"]) == (["small", "large"], 0.0)
    assert ((got["scores"][:, 0] > 0) == model.predict(X)).all()


@pytest.mark.parametrize(
    "model", [LinearRegression(), SVR(), HistGradientBoostingRegressor(max_iter=5), make_pipeline(PCA(2), Ridge())],
    ids=named,
)  # fmt: skip
def test_a_regressor_answers_with_its_value(path: Path, model: Any) -> None:
    model.fit(X, 1e5 * X[:, 0])
    export(model, path, X)
    np.testing.assert_allclose(asked(path, input=X)["value"][:, 0], model.predict(X), rtol=1e-3)
    assert (inside(path)["primary_output"], inside(path)["labels"]) == ("value", [])


def test_several_values_a_row_are_columns(path: Path) -> None:
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2000, random_state=0).fit(X, X[:, :2])
    export(model, path, X)
    np.testing.assert_allclose(asked(path, input=X)["value"], model.predict(X), atol=1e-4)


def test_several_labels_a_row_have_probabilities_each(path: Path) -> None:
    model = MultiOutputClassifier(GaussianNB()).fit(X, np.column_stack([Y, LARGE]))
    export(model, path, X)
    got = asked(path, input=X)
    assert (got["label"] == model.predict(X)).all()
    assert [got["probabilities_0"].shape, got["probabilities_1"].shape] == [(150, 3), (150, 2)]
    assert inside(path)["primary_output"] == "label"


@pytest.mark.parametrize("model", [IsolationForest(n_estimators=10, random_state=0), OneClassSVM(gamma=0.1)], ids=named)
def test_an_outlier_detector_answers_with_its_score(path: Path, model: Any) -> None:
    export(model.fit(X), path, X)
    got, record = asked(path, input=X), inside(path)
    assert (record["labels"], record["threshold"]) == (["outlier", "inlier"], 0.0)
    clear = np.abs(model.decision_function(X)) > 1e-3
    assert ((got["scores"][:, 0] > 0) == (model.predict(X) > 0))[clear].all()


def test_clusters_and_transformations_are_answers_too(path: Path) -> None:
    export(KMeans(3, n_init=1, random_state=0).fit(X), path, X)
    assert set(asked(path, input=X)) == {"label", "distances"}
    scaler = StandardScaler().fit(X)
    export(scaler, path, X)
    np.testing.assert_allclose(asked(path, input=X)["transformed"], scaler.transform(X), atol=1e-4)


def test_a_vote_answers_with_its_label_alone(path: Path) -> None:
    model = VotingClassifier([("a", GaussianNB()), ("b", QuadraticDiscriminantAnalysis())]).fit(X, Y)
    export(model, path, X)
    assert list(asked(path, input=X)) == ["label"]
    assert model.flatten_transform


def test_text_is_an_input_of_text(path: Path) -> None:
    texts = ["a good film", "a bad film", "nice and good", "awful"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["yes", "no", "yes", "no"])
    export(model, path, texts)
    assert asked(path, input=[["GOOD film"], ["awful film"]])["label"].tolist() == ["yes", "no"]


def test_no_output_is_a_map(path: Path) -> None:
    export(GaussianNB().fit(X, Y), path, X)
    assert [value.type for value in opened(path).get_outputs()] == ["tensor(int64)", "tensor(float)"]


def test_columns_and_a_row_of_the_sample_are_inside(path: Path) -> None:
    export(GaussianNB().fit(X, Y), path, X.tolist(), columns=["a", "b", "c", "d"])
    record = inside(path)
    assert record["inputs"][0]["fields"] == ["a", "b", "c", "d"]
    np.testing.assert_allclose(record["sample"]["input"], X[:1], rtol=1e-6)


def test_what_was_written_is_told_in_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = export(GaussianNB().fit(X, Y), path, X[:1])
    printed = capsys.readouterr().out
    assert printed == f"{written}\n"
    assert printed.startswith(f"{path}: GaussianNB answers the same in ONNX: 1 row, largest difference")


def test_it_is_served_as_the_estimator_answers(path: Path) -> None:
    model = RandomForestClassifier(5, random_state=0).fit(X, NAMES[Y])
    export(model, path, X)
    answer = served(path, input=X[:3].astype(np.float32))
    np.testing.assert_allclose(answer.outputs["probabilities"], model.predict_proba(X[:3]), atol=1e-4)


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "sample", "sentence"),
    [
        (GaussianNB(), X, "the GaussianNB is not fitted; fit it, then export it"),
        (GaussianNB().fit(X, Y), X[:, :2], "the GaussianNB does not predict the sample: X has 2 features"),
        (TransformedTargetRegressor(Ridge()).fit(X, Y), X, "TransformedTargetRegressor has no ONNX converter"),
        (make_pipeline(FunctionTransformer(np.log1p), Ridge()).fit(X, Y), X, "FunctionTransformer is not supported"),
        (GaussianNB, X, "GaussianNB is a class; give a fitted model"),
        ("model.pkl", X, "give the fitted model itself, not the file"),
        (object(), X, "object cannot be exported; give a model of scikit-learn"),
        (GaussianNB().fit(X, Y), X[0], "one flat list"),
        (GaussianNB().fit(X, Y), X[:0], "no rows"),
        (GaussianNB().fit(X, Y), [[1, 2], [3]], "different lengths"),
        (GaussianNB().fit(X, Y), [[1, "a"]], "mixes text and numbers"),
    ],
)
def test_what_cannot_be_exported_says_why_and_writes_nothing(
    path: Path, model: Any, sample: Any, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as raised:
        export(model, path, sample)
    assert "\n" not in str(raised.value)
    assert not path.exists()


def test_a_graph_that_answers_otherwise_is_not_written(path: Path) -> None:
    """Of neighbours that are equally far, ONNX Runtime takes others."""
    model = KNeighborsClassifier().fit(X, Y)
    path.write_bytes(b"before")
    with pytest.raises(UserError, match=r"'(label|probabilities)' differs .* of 150 rows .*no file was written"):
        export(model, path, X)
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "b"], "the number of labels is 2, but the model has the classes"),
        (["a", "b", "c"], "contradict the model's own"),
    ],
)
def test_labels_that_contradict_the_model_are_refused(path: Path, names: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        export(GaussianNB().fit(X, NAMES[Y]), path, X, labels=names)


def test_columns_of_another_number_and_a_folder_that_is_not_there_are_refused(path: Path) -> None:
    with pytest.raises(UserError, match="2 column names for 4 columns"):
        export(GaussianNB().fit(X, Y), path, X, columns=["a", "b"])
    with pytest.raises(UserError, match="there is no folder"):
        export(GaussianNB().fit(X, Y), path / "more" / "model.onnx", X)


@pytest.mark.parametrize("model", [RandomForestClassifier(5, random_state=0), LogisticRegression(max_iter=500)])
def test_the_same_model_under_the_same_name_is_the_same_file(model: Any, tmp_path: Path) -> None:
    """So a server knows it again: what a cache keeps is kept by the digest of the file."""
    fitted = model.fit(X, Y)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        export(fitted, tmp_path / folder / "model.onnx", sample=X)
    assert (tmp_path / "one/model.onnx").read_bytes() == (tmp_path / "two/model.onnx").read_bytes()
