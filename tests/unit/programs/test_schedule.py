"""Cron expressions, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.errors import SettingsError
from mlpatterns.programs.schedule import check_cron, next_time


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("expression", "now", "then"),
    [
        ("0 * * * *", "2026-01-01T10:00:00", "2026-01-01T11:00:00"),
        ("0 * * * *", "2026-01-01T10:59:59.5", "2026-01-01T11:00:00"),
        ("*/15 * * * *", "2026-01-01T10:01:00", "2026-01-01T10:15:00"),
        ("30 2 29 2 *", "2026-01-01T00:00:00", "2028-02-29T02:30:00"),
        ("30 2 * * SUN", "2026-03-29T00:30:00", "2026-03-29T02:30:00"),  # an hour that some zones leave out
    ],
)
def test_the_next_time(expression: str, now: str, then: str) -> None:
    assert next_time(expression, at(now)) == at(then)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "60 * * * *",
        "every hour",
        "* * * * * *",
        "0 0 30 2 *",
        "@hourly",
        "5-1 * * * *",
        "*/0 * * * *",
        "1,,2 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "0 0 * * MO",
        "-1 * * * *",
        "١ * * * *",
    ],
)
def test_what_never_comes_is_refused(expression: str) -> None:
    with pytest.raises(SettingsError, match="no cron expression"):
        check_cron(expression)


def field(least: int, most: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    two = st.lists(number, min_size=2, max_size=2, unique=True)  # of a range of one with a step cronsim makes more
    ranges = two.map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.just("*") | ranges, st.integers(1, 20)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    part = st.just("*") | number.map(str) | ranges | steps
    return (st.lists(part, min_size=1, max_size=3).map(",".join)) | (st.sampled_from(names) if names else st.just("*"))


@given(
    st.tuples(
        field(0, 59), field(0, 23), field(1, 31), field(1, 12, ("JAN", "feb", "Dec")), field(0, 6, ("sun", "SAT"))
    ).map(" ".join),
    st.integers(0, 4_000_000_000),
)
@settings(max_examples=200, deadline=None)
def test_times_are_those_that_cronsim_gives(expression: str, now: int) -> None:
    try:
        wanted = next(CronSim(expression, datetime.fromtimestamp(now, UTC))).timestamp()
    except (CronSimError, StopIteration):
        return
    assert next_time(expression, now) == wanted


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["*", "1", "*/2", "x", "-", "9-", "/", ","]), max_size=6).map(" ".join)
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_schedule_or_one_sentence(text: str) -> None:
    try:
        found = next_time(text, 0.0)
    except SettingsError:
        return
    assert found > 0
