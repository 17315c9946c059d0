"""From cells to inputs: which columns are taken, and which rows are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.programs.batch_inputs import BatchInputs
from mlpatterns.stores.batch import Column, Page, Shape
from mlpatterns.user_errors import SettingsError


def model(*specs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("m", "1", "testing", specs, (TensorSpec("out", "FP32", (-1, 1)),), "out")


def shape(*names: str) -> Shape:
    return Shape((Column("id", "int"), *(Column(name, "other") for name in names)), Column("id", "int"))


def page(**columns: Any) -> Page:
    count = len(next(iter(columns.values())))
    return Page(list(range(count)), columns, count)


NAMED = TensorSpec("x", "FP32", (-1, 2), fields=("a", "b"))
PLAIN = TensorSpec("x", "FP32", (-1, 2))
IMAGE = TensorSpec("x", "UINT8", (-1, 2, 2))


@pytest.mark.parametrize(
    ("spec", "names", "columns"),
    [
        (NAMED, ("b", "other", "a"), ["a", "b"]),
        (NAMED, ("x", "a", "b"), ["x"]),
        (NAMED, ("values", "note"), ["values"]),
        (PLAIN, ("q", "p"), ["q", "p"]),
        (TensorSpec("x", "FP32", (-1, -1)), ("q", "p", "r"), ["q", "p", "r"]),
        (TensorSpec("x", "INT64", (-1,)), ("y", "x"), ["x"]),
    ],
)
def test_which_columns_an_input_is_made_of(spec: TensorSpec, names: tuple[str, ...], columns: list[str]) -> None:
    assert BatchInputs(model(spec), shape(*names)).columns == columns


def test_the_column_of_predictions_and_the_key_are_no_inputs() -> None:
    assert BatchInputs(model(PLAIN), shape("q", "prediction", "p"), "prediction").columns == ["q", "p"]


def test_two_inputs_are_columns_of_their_names() -> None:
    inputs = BatchInputs(model(TensorSpec("n", "INT32", (-1,)), TensorSpec("t", "BYTES", (-1, 1))), shape("t", "n"))
    arrays, right, wrong = inputs.of(page(n=["1", "2"], t=["a", "ü"]))
    assert (right, wrong) == ([0, 1], {})
    assert arrays["n"].tolist() == [1, 2]
    assert arrays["n"].dtype == np.int32
    assert arrays["t"].tolist() == [[b"a"], ["ü".encode()]]


@pytest.mark.parametrize(
    ("specs", "names"),
    [
        ((NAMED,), ("a",)),
        ((PLAIN,), ("a", "b", "c")),
        ((PLAIN,), ()),
        ((IMAGE,), ("pixels",)),
        ((PLAIN, NAMED), ("a",)),
    ],
)
def test_a_source_that_lacks_a_column_is_refused(specs: tuple[TensorSpec, ...], names: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="there is no column"):
        BatchInputs(model(*specs), shape(*names))


@pytest.mark.parametrize(
    "columns",
    [
        {"a": ["1", "2.5"], "b": ["-3", "1e3"]},
        {"a": (1, 2.5), "b": (-3, 1000)},
        {"a": np.array([1, 2.5]), "b": np.array([-3.0, 1000.0], np.float32)},
        {"values": ["[1, -3]", "[2.5, 1e3]"]},
        {"values": [[1, -3], [2.5, 1000]]},
        {"values": np.array([[1, -3], [2.5, 1000]])},
    ],
)
def test_cells_of_any_source_become_the_same_rows(columns: dict[str, Any]) -> None:
    arrays, right, wrong = BatchInputs(model(NAMED), shape(*columns)).of(page(**columns))
    assert arrays["x"].tolist() == [[1, -3], [2.5, 1000]]
    assert arrays["x"].dtype == np.float32
    assert (right, wrong) == ([0, 1], {})


def test_images_are_rows_of_json() -> None:
    arrays, _, wrong = BatchInputs(model(IMAGE), shape("x")).of(page(x=["[[1,2],[3,4]]", "[[5,6],[7,256]]"]))
    assert arrays["x"].tolist() == [[[1, 2], [3, 4]]]
    assert list(wrong) == [1]


@pytest.mark.parametrize(
    "bad",
    ["", "x", "[1]", "[1,2,3]", "[1,null]", '[1,"x"]', "[1,[2]]", "{}", "1", "[1,2", "[1],[2]", "null", None, 5, [1]],
)
def test_a_wrong_row_is_told_and_the_others_are_predicted(bad: Any) -> None:
    values = ["[1,2]"] * 5 + [bad] + ["[3,4]"] * 4
    arrays, right, wrong = BatchInputs(model(NAMED), shape("values")).of(page(values=values))
    assert list(wrong) == [5]
    assert wrong[5]
    assert right == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert arrays["x"].tolist() == [[1, 2]] * 5 + [[3, 4]] * 4


def test_what_is_missing_is_nan_only_where_the_model_takes_that() -> None:
    lacking = page(a=["1", ""], b=[2.0, 3.0])
    _, right, wrong = BatchInputs(model(NAMED), shape("a", "b")).of(lacking)
    assert (right, wrong) == ([0], {1: "the column 'a' is empty"})
    taking = TensorSpec("x", "FP32", (-1, 2), fields=("a", "b"), missing=True)
    arrays, right, wrong = BatchInputs(model(taking), shape("a", "b")).of(lacking)
    assert (right, wrong) == ([0, 1], {})
    assert np.isnan(arrays["x"][1, 0])


@pytest.mark.parametrize(
    ("datatype", "value"), [("INT8", "128"), ("INT64", "1.5"), ("UINT8", "-1"), ("INT32", 2.5), ("INT64", float("nan"))]
)
def test_a_number_that_the_datatype_does_not_have_is_wrong(datatype: str, value: Any) -> None:
    _, right, wrong = BatchInputs(model(TensorSpec("x", datatype, (-1,))), shape("x")).of(page(x=[value]))
    assert right == []
    assert list(wrong) == [0]


def test_rows_that_the_source_found_wrong_are_wrong() -> None:
    given = Page([1, 2], {"a": ["1", "1"], "b": ["2", "2"]}, 2, {0: "the row has 3 cells"})
    arrays, right, wrong = BatchInputs(model(NAMED), shape("a", "b")).of(given)
    assert (arrays["x"].tolist(), right, wrong) == ([[1, 2]], [1], {0: "the row has 3 cells"})


CELLS = st.none() | st.floats(width=32) | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=3) | st.integers()


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_any_cells_are_rows_or_wrong_ones(rows: list[tuple[Any, Any]]) -> None:
    a, b = zip(*rows, strict=True)
    arrays, right, wrong = BatchInputs(model(NAMED), shape("a", "b")).of(page(a=list(a), b=list(b)))
    assert sorted([*right, *wrong]) == list(range(len(rows)))
    assert sum(len(array) for array in arrays.values()) == len(right)
