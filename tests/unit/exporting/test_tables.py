"""export of what was fitted on a table: columns by name, of text, of several types, with missing values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from mlpatterns import UserError, export
from unit.exporting.written import asked, inside, opened

PASSENGERS = pd.DataFrame({
    "age (years)": [22, 38, 26, 35, 54, 2, 27, 14] * 5,
    "fare": [7.25, 71.3, np.nan, 53.1, 51.9, 21.1, 11.1, np.nan] * 5,
    "label": ["m", "f", "f", "f", "m", "m", "f", "f"] * 5,
    "deck": ["a", None, "b", "c", "b", "a", None, "c"] * 5,
    "alone": [True, False, True, False, False, False, True, False] * 5,
    "born": pd.to_datetime(["1912-04-15"] * 40),
    "class": pd.Categorical(["first", "third"] * 20),
})  # fmt: skip
SURVIVED = [0, 1, 1, 1, 0, 0, 1, 0] * 5
NUMBERS = PASSENGERS[["age (years)", "fare"]]
NUMERIC = make_pipeline(SimpleImputer(), StandardScaler())
TEXT = make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore"))


def mixed(last: Any, *more: tuple[str, Any, list[str]]) -> Pipeline:
    columns = [("numbers", NUMERIC, ["age (years)", "fare"]), ("text", TEXT, ["label", "deck"]), *more]
    return make_pipeline(ColumnTransformer(columns), last).fit(PASSENGERS, SURVIVED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


@pytest.mark.parametrize(
    "last",
    [LogisticRegression(), RandomForestClassifier(5, random_state=0), lightgbm.LGBMClassifier(verbose=-1, n_jobs=1),
     xgboost.XGBClassifier(n_estimators=5, n_jobs=1)],
    ids=lambda last: type(last).__name__,
)  # fmt: skip
def test_each_column_of_a_mixed_table_is_an_input_of_its_own_type(path: Path, last: Any) -> None:
    model = mixed(last)
    export(model, path, PASSENGERS, labels=["lost", "saved"])
    specs = {spec["name"]: (spec["datatype"], spec["shape"], spec["missing"]) for spec in inside(path)["inputs"]}
    assert specs == {
        "age (years)": ("FP32", [-1, 1], False),
        "fare": ("FP32", [-1, 1], True),
        "label": ("BYTES", [-1, 1], False),
        "deck": ("BYTES", [-1, 1], False),
    }
    row = {"age (years)": [[27]], "fare": [[11.1]], "label": [["f"]], "deck": [[""]]}  # a missing text is empty
    expected = model.predict_proba(PASSENGERS[6:7])
    np.testing.assert_allclose(asked(path, **row)["probabilities"], expected, atol=1e-4)
    assert inside(path)["labels"] == ["lost", "saved"]


def test_a_column_may_have_the_name_of_an_output(path: Path) -> None:
    export(mixed(LogisticRegression()), path, PASSENGERS)
    assert [value.name for value in opened(path).get_outputs()] == ["predicted_label", "probabilities"]


def test_columns_that_no_step_reads_are_no_inputs(path: Path) -> None:
    """So a column of dates is refused only where it is read."""
    export(mixed(LogisticRegression()), path, PASSENGERS)
    assert {"born", "alone", "class"}.isdisjoint(value.name for value in opened(path).get_inputs())


@pytest.mark.parametrize("born", [PASSENGERS.born, PASSENGERS.born.dt.date], ids=["datetime64", "date"])
def test_a_column_of_dates_that_a_step_reads_is_refused(path: Path, born: Any) -> None:
    """As text it has one spelling: another of the same day would be no category, and the answer wrong."""
    days = ("days", OneHotEncoder(handle_unknown="ignore"), ["born"])
    table = PASSENGERS.assign(born=born)
    model = make_pipeline(ColumnTransformer([days]), LogisticRegression()).fit(table, SURVIVED)
    with pytest.raises(UserError, match=r"^the column 'born' is of (datetime64.*|date), which ONNX has no type for"):
        export(model, path, table)
    assert not path.exists()


def test_whole_numbers_booleans_and_categories_are_read_too(path: Path) -> None:
    extra = ("more", OrdinalEncoder(), ["class"]), ("flags", "passthrough", ["alone"])
    model = mixed(LogisticRegression(), *extra)
    export(model, path, PASSENGERS)
    assert {"alone", "class"} < {value.name for value in opened(path).get_inputs()}


def test_columns_chosen_by_their_type_are_found(path: Path) -> None:
    table = PASSENGERS[["label", "age (years)"]]
    chosen = [("numbers", StandardScaler(), make_column_selector(dtype_include="number"))]
    export(make_pipeline(ColumnTransformer(chosen), Ridge()).fit(table, SURVIVED), path, table)
    assert [spec["datatype"] for spec in inside(path)["inputs"]] == ["INT64"]


def test_a_table_of_numbers_is_one_matrix_with_column_names(path: Path) -> None:
    model = make_pipeline(SimpleImputer(), Ridge()).fit(NUMBERS, SURVIVED)
    export(model, path, NUMBERS)
    (spec,) = inside(path)["inputs"]
    assert (spec["name"], spec["shape"], spec["fields"]) == ("input", [-1, 2], ["age (years)", "fare"])
    assert spec["missing"]
    assert inside(path)["sample"]["input"] == [[22, 7.25]]
    got = asked(path, input=NUMBERS.to_numpy())["value"][:, 0]
    np.testing.assert_allclose(got, model.predict(NUMBERS), atol=1e-4)


@pytest.mark.parametrize(
    "sample",
    [{"age (years)": [30, 40], "fare": [8.0, None]}, [{"age (years)": 30, "fare": None}]],
    ids=["columns", "records"],
)
def test_a_sample_may_be_columns_or_records(path: Path, sample: Any) -> None:
    export(make_pipeline(SimpleImputer(), Ridge()).fit(NUMBERS, SURVIVED), path, sample)
    assert inside(path)["inputs"][0]["missing"]


def test_a_table_of_text_is_one_matrix_of_text(path: Path) -> None:
    """Also where a missing text was a category of its own: it is empty then."""
    table = PASSENGERS[["label", "deck"]]
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(table, SURVIVED)
    export(model, path, table)
    got = asked(path, input=[["f", ""], ["m", "a"]])["label"]
    assert got.tolist() == model.predict(pd.DataFrame({"label": ["f", "m"], "deck": [None, "a"]})).tolist()
    assert model[0].categories_[1].tolist()[:3] == ["a", "b", "c"]
    assert model[0].categories_[1].tolist()[3:] != [""]


def test_categories_that_trees_read_themselves_are_refused(path: Path) -> None:
    table = PASSENGERS[["age (years)", "class"]]
    with pytest.raises(UserError, match="encode them by a ColumnTransformer"):
        export(lightgbm.LGBMClassifier(verbose=-1).fit(table, SURVIVED), path, table)


def test_columns_in_another_order_are_refused(path: Path) -> None:
    with pytest.raises(UserError, match="does not predict the sample: The feature names should match"):
        export(make_pipeline(SimpleImputer(), Ridge()).fit(NUMBERS, SURVIVED), path, NUMBERS[["fare", "age (years)"]])
