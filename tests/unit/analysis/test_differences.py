"""Differences of two answers: labels that changed, numbers that moved, and what cannot be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlpatterns.analysis.differences import difference


def scores(*rows: list[float]) -> Any:
    return np.array(rows, np.float32)


def test_labels_are_the_highest_scores_and_flips_are_counted_by_name() -> None:
    one, other = scores([0.9, 0.1], [0.2, 0.8], [0.4, 0.6]), scores([0.6, 0.4], [0.9, 0.1], [0.45, 0.55])
    found = difference(one, other, ("low", "high"))
    assert (found.rows, found.differ, found.flips) == (3, 1, {"high → low": 1})
    assert found.largest == pytest.approx(0.7)
    assert found.mean == pytest.approx((0.3 + 0.3 + 0.7 + 0.7 + 0.05 + 0.05) / 6)
    assert difference(one, other).flips == {"1 → 0": 1}


def test_rows_without_a_label_differ_by_more_than_the_tolerance() -> None:
    one, other = scores([1.0], [2.0], [3.0]), scores([1.05], [2.2], [3.0])
    assert difference(one, other, tolerance=0.1).differ == 1
    assert difference(one, other, tolerance=0.01).differ == 2


def test_texts_truth_values_and_whole_numbers_are_their_own_labels() -> None:
    texts = np.array([b"cat", b"dog"], object), np.array([b"cat", b"\xff"], object)
    assert difference(*texts).flips == {"dog → \ufffd": 1}
    assert difference(*texts).largest is None
    whole = np.array([[3], [4]]), np.array([[3], [5]])
    assert (difference(*whole).flips, difference(*whole).largest) == ({"4 → 5": 1}, 1.0)
    assert difference(np.array([True]), np.array([False])).flips == {"True → False": 1}


def test_nan_and_infinity_are_equal_to_themselves_and_infinitely_far_from_the_rest() -> None:
    one = scores([np.nan], [np.inf], [np.nan])
    found = difference(one, scores([np.nan], [np.inf], [1.0]))
    assert (found.differ, found.largest) == (1, np.inf)
    assert difference(one, one).largest == 0.0


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(ValueError, match=r"shape \[1, 2\], the other \[1, 3\]"):
        difference(scores([1, 2]), scores([1, 2, 3]))
    with pytest.raises(ValueError, match="holds numbers, the other does not"):
        difference(scores([1.0]), np.array([[b"1"]], object))


def test_no_rows_differ_in_nothing() -> None:
    found = difference(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
    assert (found.rows, found.differ, found.largest) == (0, 0, None)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)))
@settings(max_examples=50, deadline=None)
def test_an_answer_does_not_differ_from_itself(values: Any) -> None:
    found = difference(values, values.copy())
    assert (found.differ, found.flips) == (0, {})
    assert found.largest in (None, 0.0)


@given(
    hnp.arrays(np.float64, (5, 3), elements=st.floats(-1, 1)), hnp.arrays(np.float64, (5, 3), elements=st.floats(-1, 1))
)
@settings(max_examples=50, deadline=None)
def test_both_ways_are_as_far(one: Any, other: Any) -> None:
    there, back = difference(one, other), difference(other, one)
    assert (there.differ, there.largest, there.mean) == (back.differ, back.largest, back.mean)
    assert there.differ == sum(there.flips.values())
