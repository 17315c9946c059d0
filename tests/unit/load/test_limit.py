"""The search for a server's limit, on servers of arithmetic; the pattern's tests have one of a semaphore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.load import Report, ServerLimits, find_limit
from mlpatterns.load.histogram import Histogram
from mlpatterns.load.report import make_report
from mlpatterns.load.schedule import phases
from mlpatterns.load.tally import TallyWindow
from mlpatterns.load.text import limits_text, trial_text
from mlpatterns.user_errors import UserError

Attack = Callable[..., Awaitable[Report]]


def server_of(capacity: float, alone: float, *, refuses: bool = False, slowest: float = 1e9) -> Attack:
    """A load on a server that answers `capacity` a second, each after `alone` seconds: what is more queues, or is
    refused. No more than `slowest` a second can be sent."""

    async def attack(targets: Any, *, rate: float, seconds: float) -> Report:
        count, sent = round(rate * seconds), min(rate, slowest)
        over = max(0.0, rate / capacity - 1)
        window = TallyWindow(0, 0, 0.0)
        window.planned, window.sent = count, count / sent
        for number in range(count):
            refused = refuses and over > 0 and number % (1 + 1 / over) < 1
            queued = 0.0 if refuses else number / rate * over
            window.answered(503 if refused else 200, alone + queued, 0, number / sent + alone + queued)
        return make_report(phases(rate, seconds), [window], Histogram(), 0.0)

    return attack


def found(attack: Attack, **options: Any) -> ServerLimits:
    return asyncio.run(find_limit("http://127.0.0.1/", attack=attack, **options))


@settings(max_examples=25, deadline=None)
@given(st.floats(25, 3000), st.floats(0.0005, 0.05), st.booleans())
def test_the_limit_is_within_a_tenth_of_the_capacity(capacity: float, alone: float, refuses: bool) -> None:
    limits = found(server_of(capacity, alone, refuses=refuses), seconds=0.5)
    assert limits.rate == pytest.approx(capacity, rel=0.1)
    assert limits.broken is not None
    assert limits.rate < limits.broken <= limits.rate * 1.11
    assert len(limits.trials) <= 16


def test_what_is_recommended_is_littles_law() -> None:
    limits = found(server_of(200, 0.02), seconds=1)
    assert limits.concurrency == 4
    assert limits.alone == pytest.approx(0.02, rel=1e-3)
    text = limits_text(limits)
    assert "Recommended   Limit(…, max_concurrency=4, max_queue=" in text
    assert "a second only" in text


def test_a_bound_of_the_p99_is_a_limit_of_its_own() -> None:
    """The queue grows by 5 % of the time: at 210 a second to 0.05 s in a second, which other bounds allow no sooner."""
    limits = found(server_of(200, 0.02), seconds=1, p99=0.025)
    assert limits.rate <= 201
    with pytest.raises(UserError, match="cannot sustain 10 requests a second: an answer takes 20"):
        found(server_of(200, 0.02), p99=0.01)


def test_where_the_generator_is_the_limit_it_says_so() -> None:
    limits = found(server_of(5000, 0.001, slowest=700), seconds=0.5)
    assert limits.rate <= 730
    assert "this machine could send only 700/s" in limits.why


def test_a_server_that_fails_at_once_is_one_sentence() -> None:
    with pytest.raises(UserError, match="cannot sustain 10 requests a second: 503 Service Unavailable"):
        found(server_of(5, 0.01, refuses=True))


def test_a_hiccup_is_tried_again() -> None:
    """One trial in which some answers came late is no limit of the server."""
    real, calls = server_of(1000, 0.01), 0

    async def hiccup(targets: Any, *, rate: float, seconds: float) -> Report:
        nonlocal calls
        calls += 1
        return await (server_of(rate * 0.95, 0.01) if calls == 2 else real)(targets, rate=rate, seconds=seconds)

    assert found(hiccup, seconds=0.5).rate == pytest.approx(1000, rel=0.1)


def test_every_trial_is_told() -> None:
    told: list[str] = []
    limits = found(server_of(200, 0.02), seconds=0.5, told=lambda trial: told.append(trial_text(trial)))
    assert len(told) == len(limits.trials)
    assert told[0] == "50/s: held, p50 20ms, p99 20ms"
