"""Names of columns, and where a value may be missing, as a user says them beside a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto as T
from onnx import helper

from mlpatterns.user_errors import SettingsError
from onnx_graphs import floats, made
from unit.models.described import metadata_of, saved


def matrix(*shape: Any) -> bytes:
    return made([helper.make_node("Identity", ["x"], ["y"])], {"x": floats(*shape)}, {"y": floats(*shape)})


def table() -> bytes:
    """One input a column: numbers, text."""
    nodes = [helper.make_node("Identity", ["age"], ["y"]), helper.make_node("Identity", ["sex"], ["z"])]
    return made(nodes, {"age": floats("n", 1), "sex": (T.STRING, ["n", 1])},
                {"y": floats("n", 1), "z": (T.STRING, ["n", 1])})  # fmt: skip


def test_columns_name_the_last_axis_and_count_it_where_it_is_free(tmp_path: Path) -> None:
    found = metadata_of(saved(tmp_path, matrix("n", 3)), columns=["a", "b", "c"])
    assert found.inputs[0].fields == ("a", "b", "c")
    free = metadata_of(saved(tmp_path, matrix("n", "m")), columns=["a", "b"])
    assert (free.inputs[0].shape, free.inputs[0].fields) == ((-1, 2), ("a", "b"))
    assert free.sample is not None
    assert free.sample["x"].shape == (1, 2)


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (matrix("n", 3), {"columns": ["a", "b"]}, "the number of column names is 2, but the model's 'x' has 3 columns"),
        (matrix("n", 3), {"columns": ["a", "a", "b"]}, "the columns have 'a' twice"),
        (matrix("n", 3, 2), {"columns": ["a", "b"]}, r"has the shape \[-1, 3, 2\], so it has no columns"),
        (table(), {"columns": ["a", "b"]}, r"this one has 2 \(age, sex\), which have names already"),
        (table(), {"missing": ["sex"]}, "'sex' is BYTES, which has no NaN"),
        (table(), {"missing": ["zip"]}, r"--missing names 'zip', but the model has age, sex$"),
        (matrix("n", 3), {"missing": ["a"]}, "--missing names 'a', but the model has x; --columns gives"),
        (made([helper.make_node("Identity", ["x"], ["y"])], {"x": (T.INT64, ["n", 2])}, {"y": (T.INT64, ["n", 2])}),
         {"missing": "all"}, "no input of the model holds floats"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, content: bytes, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        metadata_of(saved(tmp_path, content), **options)


@pytest.mark.parametrize(
    ("missing", "allowed", "fields"),
    [
        ((), False, ()),
        ("all", True, ()),
        (["all"], True, ()),
        (["x"], True, ()),
        (["b"], True, ("b",)),
        (["c", "a"], True, ("a", "c")),
        (["a", "b", "c"], True, ()),
        (["x", "b"], True, ()),
    ],
)
def test_missing_is_allowed_in_columns_of_a_matrix(
    tmp_path: Path, missing: Any, allowed: bool, fields: tuple[str, ...]
) -> None:
    (spec,) = metadata_of(saved(tmp_path, matrix("n", 3)), columns=["a", "b", "c"], missing=missing).inputs
    assert (spec.missing, spec.missing_fields) == (allowed, fields)


def test_missing_is_allowed_in_inputs_of_floats(tmp_path: Path) -> None:
    reference = saved(tmp_path, table())
    for missing in (["age"], "all"):
        found = metadata_of(reference, missing=missing)
        assert [(spec.name, spec.missing) for spec in found.inputs] == [("age", True), ("sex", False)]
