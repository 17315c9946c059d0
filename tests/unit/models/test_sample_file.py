"""Samples from files: tables with and without names, arrays, and what does not fit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlpatterns.metadata import TensorSpec
from mlpatterns.models.sample.file import read_sample
from mlpatterns.user_errors import TableError

ROWS = (TensorSpec("x", "FP32", (-1, 3)),)
NAMED = (TensorSpec("x", "FP32", (-1, 2), fields=("age", "fare")),)
MIXED = (TensorSpec("age", "FP32", (-1, 1)), TensorSpec("sex", "BYTES", (-1, 1)), TensorSpec("class", "INT64", (-1,)))
WORDS = (TensorSpec("c", "BYTES", (-1, 2)),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def test_a_table_with_and_without_a_line_of_names(file: Path) -> None:
    for text in ("1,2,3\n4,5,6\n", "a,b,c\n1,2,3\n4,5,6\n", "\ufeff1, 2,3\r\n4,5,6\r\n\r\n"):
        file.write_text(text, encoding="utf-8", newline="")
        assert read_sample(file, ROWS)["x"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_columns_are_found_by_name_and_others_are_left(file: Path) -> None:
    file.write_text("target,fare,age\nyes,7.5,\nno,8,30\n")
    rows = read_sample(file, NAMED)["x"]
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[np.nan, 7.5], [30, 8]])


def test_one_input_a_column(file: Path) -> None:
    file.write_text("class,sex,age\n1,m,22\n3.0,f,30.5\n")
    rows = read_sample(file, MIXED)
    assert rows["age"].tolist() == [[22.0], [30.5]]
    assert rows["sex"].tolist() == [[b"m"], [b"f"]]
    assert (rows["class"].tolist(), str(rows["class"].dtype)) == ([1, 3], "int64")


def test_words_and_tables_of_any_width(file: Path) -> None:
    file.write_text("m,東京\n")
    assert read_sample(file, WORDS)["c"].tolist() == [[b"m", "東京".encode()]]
    assert read_sample(file, (TensorSpec("c", "BYTES", (-1, -1)),))["c"].shape == (1, 2)
    file.write_text("9007199254740993,-1e3\n")
    assert read_sample(file, (TensorSpec("i", "INT64", (-1, 2)),))["i"].tolist() == [[9007199254740993, -1000]]
    file.write_text("true,0\n")
    assert read_sample(file, (TensorSpec("b", "BOOL", (-1, 2)),))["b"].tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("text", "inputs", "sentence"),
    [
        ("", ROWS, "is empty"),
        ("\n\n", ROWS, "is empty"),
        ("a,b,c\n", ROWS, "has no rows"),
        ("1,2\n", ROWS, "has 2 columns, and the model takes 3"),
        ("1,2,3\n1,2\n", ROWS, "line 2 has no cell in column 3"),
        ("1,2,3\n1,two,3\n", ROWS, "line 2: 'two' in column 2 is not a valid FP32"),
        ("age\n3\n", NAMED, "has no column 'fare'"),
        ("sex,age,class\nm,1,first\n", MIXED, "line 2: 'first' in column 3 is not a valid INT64"),
        ("sex,age,class\nm,1,1.5\n", MIXED, "line 2: '1.5' in column 3 is not a valid INT64"),
        ("1,2,3\n", (TensorSpec("x", "FP32", (-1, 1, -1, -1)),), "is a table, which cannot hold 'x' .*; use .npz"),
        ("1,2,3\n", (TensorSpec("x", "FP32", (4, 3)),), "has 1 rows, and the model takes 4 at once"),
        ("300\n", (TensorSpec("x", "UINT8", (-1, 1)),), "line 1: '300' in column 1 is not a valid UINT8"),
    ],
)
def test_what_does_not_fit_is_a_sentence(file: Path, text: str, inputs: tuple[TensorSpec, ...], sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(TableError, match=sentence):
        read_sample(file, inputs)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for name, sentence in (
        ("rows.parquet", "neither .csv nor .npz"),
        ("none.csv", "no such file"),
        ("x.npz", "no such"),
    ):
        with pytest.raises(TableError, match=sentence):
            read_sample(tmp_path / name, ROWS)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe1,2")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 cut")
    for name in ("x.csv", "x.npz"):
        with pytest.raises(TableError, match="is no"):
            read_sample(tmp_path / name, ROWS)


def test_arrays_by_name(tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    arrays: dict[str, Any] = {"age": np.ones((2, 1)), "sex": np.array([["m"], ["f"]]), "class": np.array([1, 3])}
    np.savez(file, **arrays, more=np.ones(9))
    rows = read_sample(file, MIXED)
    assert (str(rows["age"].dtype), rows["sex"].tolist(), rows["class"].tolist()) == (
        "float32",
        [[b"m"], [b"f"]],
        [1, 3],
    )
    np.savez(file, np.zeros((2, 3)))
    assert read_sample(file, ROWS)["x"].shape == (2, 3)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"age": np.ones((2, 1))}, "has no array 'sex'; it has age"),
        ({"age": np.ones((2, 2)), "sex": np.array([["m"]] * 2), "class": np.ones(2)}, r"'age' has the shape \[2, 2\]"),
        (
            {"age": np.ones((2, 1)), "sex": np.ones((2, 1)), "class": np.ones(2)},
            "'sex' is float64, and the model takes",
        ),
        (
            {"age": np.ones((1, 1)), "sex": np.array([["m"]] * 2), "class": np.ones(2)},
            "another number of rows for each",
        ),
        ({"age": np.array([[object()]], dtype=object)}, "is not an NPZ file of numbers and text"),
    ],
)
def test_arrays_that_do_not_fit_are_a_sentence(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(TableError, match=sentence):
        read_sample(tmp_path / "rows.npz", MIXED)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(max_size=60) | st.text(alphabet='0123456789.,e-+"\n abnf', max_size=60),
    st.sampled_from([ROWS, NAMED, MIXED, WORDS]),
)
def test_any_text_is_rows_or_a_sentence(tmp_path: Path, text: str, inputs: tuple[TensorSpec, ...]) -> None:
    file = tmp_path / "any.csv"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            rows = read_sample(file, inputs)
        except TableError:
            return
    assert set(rows) == {spec.name for spec in inputs}
