"""The forms of a sample, what is missing when a package is, and what the proof asks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from mlpatterns import MissingExtra, UserError, export
from mlpatterns.exporting.sample import read_sample
from unit.exporting.written import asked, inside

ROWS = np.arange(12.0).reshape(6, 2)
FITTED = Ridge().fit(ROWS, ROWS[:, 0])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=9,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ([1, None], [1, np.nan]),
        ([True, False], [True, False]),
        (["a", None], ["a", ""]),
        (pd.array([1, None], dtype="Int64"), [1, np.nan]),
        (pd.Categorical(["a", "b"]), ["a", "b"]),
        (pd.Categorical([3, 4]), [3, 4]),
    ],
)
def test_a_column_is_of_numbers_of_booleans_or_of_text(values: Any, expected: Any) -> None:
    column = read_sample(pd.DataFrame({"x": values})).columns["x"]
    np.testing.assert_array_equal(column, np.array(expected, dtype=column.dtype))


def test_text_and_numbers_are_told_apart_in_lists_too() -> None:
    assert read_sample([["1", "2"]]).array.dtype == object  # type: ignore[union-attr]
    assert read_sample([[1, None]]).array.dtype == np.float64  # type: ignore[union-attr]


@settings(max_examples=50, deadline=None)
@given(ANYTHING)
def test_what_is_no_sample_is_refused_in_one_sentence(value: Any) -> None:
    try:
        sample = read_sample(value)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert sample.array is not None or sample.columns


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="two columns of the sample have the same name"):
        read_sample(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(("package", "extra"), [("skl2onnx", "train"), ("torch", "torch")])
def test_without_its_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    module = type("Module", (), {"__module__": "torch.nn.modules.module"})
    model = FITTED if package == "skl2onnx" else module()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'mlpatterns\[{extra}\]'"):
        export(model, tmp_path / "model.onnx", ROWS)


def test_the_tolerance_is_a_share_of_large_values(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    path = tmp_path / "model.onnx"
    export(Ridge().fit(rows, 1e7 * rows.sum(axis=1)), path, rows)
    assert inside(path)["inputs"][0]["datatype"] == "FP32"


def test_what_float32_loses_float64_keeps(tmp_path: Path) -> None:
    """So the inputs are FP64 where the answers need them."""
    seconds = 1.7e9 + np.arange(8.0).reshape(-1, 1)
    model = Ridge(alpha=1e-9).fit(seconds, np.arange(8.0))
    path = tmp_path / "model.onnx"
    export(model, path, seconds, tolerance=1e-3)
    assert inside(path)["inputs"][0]["datatype"] == "FP64"


def test_a_file_is_replaced_whole_and_its_digest_told(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    written = export(FITTED, str(path), ROWS)
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    np.testing.assert_allclose(asked(path, input=ROWS)["value"][:, 0], FITTED.predict(ROWS), atol=1e-4)
