"""The best batch size: found by asking, within a second."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlpatterns.programs.batch_size import LADDER, BatchSize


def climbed(size: BatchSize, cost: Callable[[int], float]) -> float:
    """Asks until the size is found; the seconds that it took."""
    took = 0.0
    for _ in range(10_000):
        if size.found:
            return took
        seconds = cost(size.rows)
        took += seconds
        size.learn(size.rows, seconds)
    raise AssertionError("never found")


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        (lambda rows: 1e-3 + rows * 1e-6, 8192),  # each call costs the same: the more rows the better
        (lambda rows: rows * 1e-6 * (1 if rows <= 256 else 1.5), None),  # what falls out of a cache
        (lambda rows: 1e-4 + rows * 1e-6 + (rows / 1000) ** 3 * 1e-3, 1024),
        (lambda rows: 0.2 * rows / 64, None),  # so slow that each step is a call or two
    ],
)
def test_the_size_with_most_rows_a_second_wins_within_a_second_or_so(
    cost: Callable[[int], float], best: int | None
) -> None:
    size = BatchSize()
    took = climbed(size, cost)
    rates = {rows: rows / cost(rows) for rows in LADDER}
    assert size.rows == best or rates[size.rows] >= 0.99 * max(rates.values())
    if cost(64) < 0.01:
        assert took <= 1.5


def test_a_size_that_is_fixed_or_bounded_is_kept_to() -> None:
    assert (BatchSize(fixed=100).rows, BatchSize(fixed=100).found) == (100, True)
    assert BatchSize(most=10, fixed=100).rows == 10
    assert (BatchSize(most=1).rows, BatchSize(most=1).found) == (1, True)
    bounded = BatchSize(most=300)
    climbed(bounded, lambda rows: 1e-3)
    assert bounded.rows == 256


def test_calls_that_are_not_full_teach_nothing() -> None:
    size = BatchSize()
    for _ in range(1000):
        size.learn(7, 1.0)
    assert (size.rows, size.found) == (64, False)
