"""The classes of a graph are found wherever a converter keeps them, and other tables are not taken for them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from mlpatterns.onnx_format.classes import Classes, classes_of
from mlpatterns.user_errors import ModelFileError
from onnx_graphs import ML, THREE, argmax, classifier, floats, made, maps, zip_map

X3 = {"x": floats("n", 3)}
OWN, NUMBERS = Classes(("ant", "bee", "cat"), True), Classes(("0", "1", "2"), False)


def strings(name: str, values: list[str]) -> Any:
    return numpy_helper.from_array(np.array(values, dtype=object), name)


def looked_up(operator: str, table: Any, *, constant: bool = True) -> bytes:
    """`scores` is `x`, and `label` is taken from a table by the number of the highest."""
    domain = ML if operator == "ArrayFeatureExtractor" else ""
    nodes = [helper.make_node("Identity", ["x"], ["scores"]), argmax("x", "best"),
             helper.make_node(operator, [table.name, "best"], ["label"], domain=domain)]  # fmt: skip
    if not constant:
        nodes.insert(0, helper.make_node("Constant", [], [table.name], value=table))
    kind = table.data_type
    return made(nodes, X3, {"label": (kind, None), "scores": floats("n", 3)}, *([table] if constant else []))


def encoded(**attributes: Any) -> bytes:
    nodes = [helper.make_node("Identity", ["x"], ["scores"]), argmax("x", "best"),
             helper.make_node("LabelEncoder", ["best"], ["label"], domain=ML, **attributes)]  # fmt: skip
    return made(nodes, X3, {"label": (T.STRING, ["n"]), "scores": floats("n", 3)})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (classifier(THREE), OWN),
        (classifier([0, 1, 2]), NUMBERS),
        (classifier(THREE, zipped=False), OWN),
        (classifier([0, 1, 2], zipped=False), NUMBERS),
        (looked_up("ArrayFeatureExtractor", strings("t", THREE)), OWN),
        (looked_up("ArrayFeatureExtractor", strings("t", THREE), constant=False), OWN),
        (looked_up("Gather", strings("t", THREE)), OWN),
        (looked_up("ArrayFeatureExtractor", helper.make_tensor("t", T.INT64, [3], [0, 1, 2])), NUMBERS),
        (looked_up("ArrayFeatureExtractor", numpy_helper.from_array(np.array([0, 1, 2]), "t")), NUMBERS),
        (encoded(keys_int64s=[2, 0, 1], values_strings=["cat", "ant", "bee"]), OWN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_classes_are_found(content: bytes, expected: Classes) -> None:
    assert classes_of(content, "scores") == expected


@pytest.mark.parametrize(
    "content",
    [
        looked_up("Gather", helper.make_tensor("t", T.INT64, [3], [4, 5, 6])),  # numbers of anything
        looked_up("ArrayFeatureExtractor", strings("t", ["ant", "bee", "ant"])),  # classes of neighbours
        encoded(keys_int64s=[7, 8, 9], values_strings=THREE),  # not by the number of a score
        made([argmax("x", "y")], X3, {"y": (T.INT64, ["n"])}),
        made([helper.make_node("Identity", ["x"], ["y"])], X3, {"y": floats("n", 3)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_tables_are_no_classes(content: bytes) -> None:
    assert classes_of(content, "scores") is None


def test_the_last_classifier_decides_where_one_stands_on_others() -> None:
    inner = helper.make_node("LinearClassifier", ["x"], ["inner_label", "inner"], domain=ML, coefficients=[1.0] * 6,
                             intercepts=[0.0] * 2, classlabels_strings=["up", "down"])  # fmt: skip
    outer = helper.make_node("LinearClassifier", ["inner"], ["label", "scores"], domain=ML, coefficients=[1.0] * 6,
                             intercepts=[0.0] * 3, classlabels_strings=THREE)  # fmt: skip
    content = made([inner, outer], X3, {"label": (T.STRING, ["n"]), "scores": floats("n", 3)})
    assert classes_of(content, "scores") == OWN


def test_of_several_zipmaps_that_of_the_scores_counts() -> None:
    nodes = [zip_map("x", "m", ["a", "b", "c"]), zip_map("x", "scores")]
    content = made(nodes, X3, {"m": maps("m"), "scores": maps("scores")})
    assert classes_of(content, "scores") == OWN


@given(st.binary(max_size=100), st.integers(0, 300))
def test_bytes_that_are_no_model_raise_nothing_else(noise: bytes, place: int) -> None:
    whole = classifier(THREE)
    for content in (b"classlabels" + noise, whole[:place] + noise + whole[place + len(noise) :]):
        with suppress(ModelFileError):
            classes_of(content, "scores")
