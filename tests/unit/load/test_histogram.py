"""The histogram gives what sorting would give, to three significant digits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.load.histogram import Histogram

DURATIONS = st.lists(st.floats(0, 10_000), min_size=1, max_size=60)


def recorded(durations: list[float]) -> Histogram:
    found = Histogram()
    for each in durations:
        found.record(each)
    return found


@settings(max_examples=100)
@given(DURATIONS, st.floats(0, 1))
def test_a_quantile_is_that_of_the_sorted_durations_to_three_digits(durations: list[float], share: float) -> None:
    exact = sorted(durations)[max(1, math.ceil(share * len(durations) - 1e-9)) - 1]
    assert recorded(durations).quantiles([share]) == [pytest.approx(exact, rel=1e-3, abs=1e-9)]


@settings(max_examples=50)
@given(DURATIONS, DURATIONS)
def test_two_that_are_merged_are_one_of_all(one: list[float], other: list[float]) -> None:
    merged, whole = recorded(one).merge([recorded(other), Histogram()]), recorded(one + other)
    for field in Histogram.__slots__:
        assert getattr(merged, field) == getattr(whole, field)


@settings(max_examples=50)
@given(DURATIONS)
def test_mean_least_and_most_are_exact(durations: list[float]) -> None:
    found = recorded(durations)
    assert found.mean == pytest.approx(math.fsum(durations) / len(durations), rel=1e-9, abs=1e-9)
    assert (found.least, found.most) == (int(min(durations) * 1e9), int(max(durations) * 1e9))


def test_quantiles_of_nothing_are_zero() -> None:
    found = Histogram()
    assert (found.quantiles([0.5, 0.99]), found.mean) == ([0.0, 0.0], 0.0)


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    assert recorded([-1.0]).quantiles([1.0]) == [0.0]


def test_a_hundred_thousand_durations_take_few_buckets() -> None:
    """1 to 2 s are one doubling: 1,024 buckets at most, however many durations."""
    assert len(recorded([1 + number / 1e5 for number in range(100_000)]).counts) <= 1100
