"""How rows are shown: one alone, several as a list, by number or by label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.errors import InternalError, NotFound
from mlpatterns.metadata import Array
from mlpatterns.tensors import best_labels, listed, one_or_all, shortest, structure


def test_one_row_is_flat_and_several_are_a_list() -> None:
    assert one_or_all(np.array([[1.5, 2]])) == [1.5, 2]
    assert one_or_all(np.array([[1.5], [2]])) == [[1.5], [2]]
    assert one_or_all(np.array([b"a"], object)) == "a"
    assert one_or_all(np.array(3)) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_json_cannot_say_is_the_models_fault(value: float) -> None:
    with pytest.raises(InternalError, match="the model answered NaN or infinity"):
        one_or_all(np.array([[value]]))
    assert one_or_all(np.array([[1e308, 1e308]])) == [1e308, 1e308], "a sum may overflow"


def test_the_label_is_that_of_the_highest_score_of_each_row() -> None:
    assert best_labels(np.array([[0.1, 0.9]]), ("a", "b")) == "b"
    assert best_labels(np.array([[0.1, 0.9], [2, 1]]), ("a", "b")) == ["b", "a"]
    with pytest.raises(NotFound):
        best_labels(np.ones((1, 2)), ())
    with pytest.raises(InternalError, match="does not have one score for each label"):
        best_labels(np.ones((1, 3)), ("a", "b"))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_score_for_two_labels_is_held_against_the_threshold(shape: tuple[int, ...]) -> None:
    scores = np.array([-5, 0.25, 0.5, 5], np.float32).reshape(shape)
    assert best_labels(scores, ("a", "b"), 0.0) == ["a", "b", "b", "b"], "a decision function"
    assert best_labels(scores, ("a", "b"), 0.25) == ["a", "a", "b", "b"], "above it, it is the second"
    assert best_labels(scores[:1], ("a", "b"), 0.25) == "a"
    with pytest.raises(InternalError, match="one score for two labels needs a threshold"):
        best_labels(scores, ("a", "b"))
    with pytest.raises(InternalError, match="does not have one score for each label"):
        best_labels(scores, ("a", "b", "c"), 0.0)


@pytest.mark.parametrize("scores", [[[0.1, np.nan]], [[np.nan, 0.1], [1, 2]], [[np.nan]], [np.nan]])
def test_nan_has_no_label(scores: Any) -> None:
    with pytest.raises(InternalError, match="the model answered NaN"):
        best_labels(np.array(scores), ("a", "b"), 0.5)


def test_a_text_a_row_is_a_label_already_and_a_whole_number_the_place_of_one() -> None:
    for names in ((), ("a", "b")):
        assert best_labels(np.array([b"setosa"], object), names) == "setosa"
        assert best_labels(np.array([[b"x"], ["y"]], object), names, 0.5) == ["x", "y"]
    assert best_labels(np.array([7, 3]), ()) == [7, 3]
    assert best_labels(np.array([1, 0]), ("a", "b")) == ["b", "a"]
    assert best_labels(np.array([[2]], np.int32), ("a", "b", "c")) == "c"
    for place in (2, -1):
        with pytest.raises(InternalError, match=f"answered {place}, which is not the index of any of its 2 labels"):
            best_labels(np.array([0, place]), ("a", "b"))
    assert best_labels(np.array([7, 3], np.uint8), ("a", "b"), 5) == ["b", "a"], "a score, where there is a threshold"
    assert best_labels(np.array([[7, 3]], np.uint8), ("a", "b")) == "a"
    with pytest.raises(InternalError, match="does not have one score for each label"):
        best_labels(np.array([[b"x", b"y"]], object), ("a", "b"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data())
def test_the_shortest_numbers_read_back_as_the_same(dtype: type, data: st.DataObject) -> None:
    width: Any = np.dtype(dtype).itemsize * 8
    numbers = data.draw(st.lists(st.floats(width=width, allow_infinity=False), max_size=5))
    values: Array = np.array([numbers], dtype)
    np.testing.assert_array_equal(np.array(shortest(values), np.float64).astype(dtype), values)


def test_numbers_are_shown_as_they_were_given() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        assert shortest(np.array([[5.1, 0.2, np.nan]], dtype)) == [[5.1, 0.2, None]]
    assert shortest(np.array([1, 2**62])) == [1, 2**62]
    assert shortest(np.array([[True], [False]])) == [[True], [False]]
    assert shortest(np.array(0.1, np.float32)) == 0.1


def test_bytes_are_listed_as_the_text_they_are_and_shapes_in_the_books_spelling() -> None:
    assert listed(np.array([[b"a", b"\xff"]], object)) == [["a", "\ufffd"]]
    assert structure(np.ones((1, 4))) == "(1,4)"
