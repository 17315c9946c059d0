"""export of LightGBM and XGBoost: estimators and Boosters, fitted on arrays and on tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlpatterns import UserError, export
from unit.exporting.written import asked, inside

IRIS = load_iris()
X, Y = IRIS.data.astype(np.float32), IRIS.target
LENGTH = X[:, 0].copy()  # LightGBM warns of slices
LARGE = (Y > 0).astype(int)
TABLE = pd.DataFrame(X, columns=IRIS.feature_names)
SMALL: dict[str, Any] = {"n_estimators": 5, "n_jobs": 1}
QUIET: dict[str, Any] = {"n_estimators": 5, "n_jobs": 1, "verbose": -1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("sample", [X, TABLE], ids=["array", "table"])
@pytest.mark.parametrize("classes", [Y, LARGE], ids=["three", "two"])
@pytest.mark.parametrize("kind", [lightgbm.LGBMClassifier, xgboost.XGBClassifier])
def test_a_classifier(path: Path, kind: Any, classes: Any, sample: Any) -> None:
    model = kind(**(QUIET if kind is lightgbm.LGBMClassifier else SMALL)).fit(sample, classes)
    export(model, path, sample)
    got = asked(path, input=X)
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(sample), atol=1e-4)
    assert (got["label"] == model.predict(sample)).all()
    assert inside(path)["inputs"][0]["fields"] == (IRIS.feature_names if sample is TABLE else [])


@pytest.mark.parametrize("sample", [X, TABLE], ids=["array", "table"])
@pytest.mark.parametrize(
    "model", [lightgbm.LGBMRegressor(**QUIET), xgboost.XGBRegressor(**SMALL), xgboost.XGBRFRegressor(**SMALL),
              lightgbm.LGBMRegressor(objective="poisson", **QUIET)],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_a_regressor(path: Path, model: Any, sample: Any) -> None:
    model.fit(sample, LENGTH)
    export(model, path, sample)
    np.testing.assert_allclose(asked(path, input=X)["value"][:, 0], model.predict(sample), rtol=1e-4)


def test_column_names_stay_with_the_booster(path: Path) -> None:
    """The converter does not know them, so they are taken away for the time of it."""
    model = xgboost.XGBClassifier(**SMALL).fit(TABLE, Y)
    export(model, path, TABLE)
    assert model.get_booster().feature_names == IRIS.feature_names


@pytest.mark.parametrize(
    ("objective", "target"), [("binary", LARGE), ("multiclass", Y), ("regression", LENGTH), ("poisson", LENGTH)]
)
def test_a_booster_of_lightgbm(path: Path, objective: str, target: Any) -> None:
    parameters = {"objective": objective, "verbose": -1, "num_class": 3 if objective == "multiclass" else 1,
                  "num_threads": 1}  # fmt: skip
    model = lightgbm.train(parameters, lightgbm.Dataset(X, target), 5)
    export(model, path, X)
    got = asked(path, input=X)
    answer = got["value"][:, 0] if "value" in got else got["probabilities"]
    expected = model.predict(X)
    np.testing.assert_allclose(answer[:, 1] if objective == "binary" else answer, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("objective", "target"), [("binary:logistic", LARGE), ("multi:softprob", Y), ("reg:squarederror", LENGTH)]
)
def test_a_booster_of_xgboost(path: Path, objective: str, target: Any) -> None:
    parameters: dict[str, Any] = {"objective": objective, "nthread": 1}
    parameters |= {"num_class": 3} if objective == "multi:softprob" else {}
    matrix = xgboost.DMatrix(TABLE, target)
    model = xgboost.train(parameters, matrix, 5)
    export(model, path, X, labels=IRIS.target_names if objective == "multi:softprob" else ())
    got = asked(path, input=X)
    answer = got["value"][:, 0] if "value" in got else got["probabilities"]
    np.testing.assert_allclose(answer[:, 1] if "binary" in objective else answer, model.predict(matrix), atol=1e-4)
    assert inside(path)["inputs"][0]["fields"] == IRIS.feature_names


def test_the_classes_of_softmax_come_with_their_probabilities(path: Path) -> None:
    model = xgboost.train({"objective": "multi:softmax", "num_class": 3}, xgboost.DMatrix(X, Y), 5)
    export(model, path, X)
    assert (asked(path, input=X)["label"] == model.predict(xgboost.DMatrix(X))).all()


def test_missing_values_go_the_way_that_the_trees_send_them(path: Path) -> None:
    rows = X.copy()
    rows[::3, 2] = np.nan
    model = lightgbm.LGBMClassifier(**QUIET).fit(rows, Y)
    export(model, path, rows)
    np.testing.assert_allclose(asked(path, input=rows)["probabilities"], model.predict_proba(rows), atol=1e-4)
    assert inside(path)["inputs"][0]["missing"]


def test_steps_before_the_trees_are_as_exact_as_in_the_pipeline(path: Path) -> None:
    """XGBoost's thresholds are values of the rows, so a scaler in float32 puts some rows on their other side."""
    rows = np.random.default_rng(0).normal(size=(500, 6))
    model = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_jobs=1)).fit(rows, rows[:, 0] + rows[:, 1] > 0)
    export(model, path, rows)
    assert inside(path)["inputs"][0]["datatype"] == "FP64"


@pytest.mark.parametrize("model", [lightgbm.LGBMClassifier(), xgboost.XGBClassifier()])
def test_one_that_is_not_fitted_is_said_so(path: Path, model: Any) -> None:
    with pytest.raises(UserError, match="is not fitted; fit it"):
        export(model, path, X)


def test_an_objective_that_the_converter_loses_is_refused(path: Path) -> None:
    """onnxmltools leaves out the logistic function of reg:logistic."""
    model = xgboost.train({"objective": "reg:logistic"}, xgboost.DMatrix(X, LARGE), 5)
    with pytest.raises(UserError, match="answers otherwise than the model, its 'value' differs"):
        export(model, path, X)
    assert not path.exists()


def test_a_converter_that_breaks_is_one_sentence(path: Path) -> None:
    """onnxmltools does not read the trees of dart."""
    model = xgboost.XGBRegressor(booster="dart", **SMALL).fit(X, LENGTH)
    with pytest.raises(UserError, match="XGBRegressor cannot be exported: its converter fails with KeyError"):
        export(model, path, X)
