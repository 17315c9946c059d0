"""When an alert begins and ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.analysis.hysteresis import AlertState, Hysteresis
from mlpatterns.user_errors import CompositionError


def alerting(rule: Hysteresis, found: str) -> str:
    """`x` a window in which it was found; `!` one after which it is alerted of."""
    standing, said = AlertState(), ""
    for each in found:
        standing = rule.step(standing, ("a",) if each == "x" else ())
        said += "!" if standing.alerting else "."
    return said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("x...x...", "........"),
        ("xx......", ".!!!...."),
        ("x.x.....", "..!!!..."),
        ("xx..x...", ".!!!!!!."),
        ("xxxx..xx", ".!!!!!!!"),
    ],
)
def test_two_of_three_raise_and_three_quiet_ones_clear(found: str, said: str) -> None:
    assert alerting(Hysteresis(2, 3, 3), found) == said


def test_an_alert_that_has_ended_does_not_begin_anew_in_a_quiet_window() -> None:
    assert alerting(Hysteresis(1, 3, 1), "x..x..") == "!..!.."


def test_each_thing_has_an_alert_of_its_own() -> None:
    """A column in one window and another in the next are no alert."""
    standing = AlertState()
    for found in (("a",), ("b",), ("c",)):
        standing = Hysteresis(2, 3, 3).step(standing, found)
    assert standing.alerting == ()
    standing = Hysteresis(2, 3, 3).step(standing, ("b", "c"))
    assert standing.alerting == ("b", "c")


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 4), st.lists(st.booleans(), max_size=30))
def test_it_is_what_its_definition_says(raise_after: int, more: int, clear_after: int, found: list[bool]) -> None:
    rule, standing, on = Hysteresis(raise_after, raise_after + more, clear_after), AlertState(), False
    for index in range(len(found)):
        standing = rule.step(standing, ("a",) if found[index] else ())
        seen = found[: index + 1]
        often = found[index] and sum(seen[-(raise_after + more) :]) >= raise_after
        on = any(seen[-clear_after:]) if on else often
        assert bool(standing.alerting) is on
        assert len(standing.recent) <= max(raise_after + more, clear_after)


@pytest.mark.parametrize("numbers", [(0, 3, 3), (4, 3, 3), (2, 3, 0)])
def test_numbers_that_do_not_fit_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(CompositionError, match="1 <= raise_after <= of"):
        Hysteresis(*numbers)
