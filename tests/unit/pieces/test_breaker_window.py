"""The windows of a circuit breaker hold exactly what a list of the calls would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.pieces.circuit_breaker.window import CountWindow, TimeWindow, Totals

calls = st.tuples(st.booleans(), st.booleans())
sizes = st.integers(1, 7)


def summed(kept: list[tuple[bool, bool]]) -> tuple[int, int, int]:
    return len(kept), sum(failed for failed, _ in kept), sum(slow for _, slow in kept)


def parts(totals: Totals) -> tuple[int, int, int]:
    return totals.calls, totals.failed, totals.slow


@given(sizes, st.lists(calls, max_size=40))
def test_a_window_of_calls_holds_the_last_of_them(size: int, made: list[tuple[bool, bool]]) -> None:
    window = CountWindow(size)
    for number, (failed, slow) in enumerate(made, 1):
        assert parts(window.add(failed, slow, 0.0)) == summed(made[:number][-size:])
    assert parts(window.totals(1e9)) == summed(made[-size:])


@given(sizes, st.floats(0, 1e6), st.lists(st.tuples(st.floats(0, 12), calls), max_size=40), st.floats(0, 12))
def test_a_window_of_time_holds_the_calls_of_the_last_whole_seconds(
    size: int, now: float, made: list[tuple[float, tuple[bool, bool]]], later: float
) -> None:
    window, known = TimeWindow(size), []
    for passed, (failed, slow) in made:
        now += passed
        known.append((int(now), (failed, slow)))
        assert parts(window.add(failed, slow, now)) == summed([c for at, c in known if at > int(now) - size])
    now += later
    assert parts(window.totals(now)) == summed([c for at, c in known if at > int(now) - size])


def test_the_rates_are_in_percent_and_0_without_calls() -> None:
    assert (Totals().failure_rate, Totals().slow_call_rate) == (0.0, 0.0)
    assert (Totals(8, 2, 6).failure_rate, Totals(8, 2, 6).slow_call_rate) == (25.0, 75.0)
