"""How rows are shown: one alone, several as a list, by number or by label."""

from __future__ import annotations

import numpy as np
import pytest

from mlpatterns.errors import InternalError, InvalidInput, NotFound
from mlpatterns.tensors import best_labels, listed, one_or_all, structure


def test_one_row_is_flat_and_several_are_a_list() -> None:
    assert one_or_all(np.array([[1.5, 2]])) == [1.5, 2]
    assert one_or_all(np.array([[1.5], [2]])) == [[1.5], [2]]
    assert one_or_all(np.array([b"a"], object)) == "a"
    assert one_or_all(np.array(3)) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        one_or_all(np.array([[value]]))
    assert one_or_all(np.array([[1e308, 1e308]])) == [1e308, 1e308], "a sum may overflow"


def test_the_label_is_that_of_the_highest_score_of_each_row() -> None:
    assert best_labels(np.array([[0.1, 0.9]]), ("a", "b")) == "b"
    assert best_labels(np.array([[0.1, 0.9], [2, 1]]), ("a", "b")) == ["b", "a"]
    assert best_labels(np.array([[-0.5], [0.5]]), ("a", "b")) == ["a", "b"], "a decision function"
    with pytest.raises(NotFound):
        best_labels(np.ones((1, 2)), ())
    with pytest.raises(InternalError, match="no score for each label"):
        best_labels(np.ones((1, 3)), ("a", "b"))


def test_bytes_are_listed_as_the_text_they_are_and_shapes_in_the_books_spelling() -> None:
    assert listed(np.array([[b"a", b"\xff"]], object)) == [["a", "\ufffd"]]
    assert structure(np.ones((1, 4))) == "(1,4)"
