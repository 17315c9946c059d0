"""The timer: it rings at its time and not before, with or without the kernel's."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from mlpatterns.load import alarm
from mlpatterns.load.alarm import Alarm


@pytest.fixture(params=["kernel", "loop"])
def _timer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "loop":
        monkeypatch.setattr(alarm, "_timer_file", lambda: None)


async def rung(*times: float, wait: float = 0.1) -> list[float]:
    """How long after each other an alarm rang that was set to these times from now, one after the other."""
    found: list[float] = []
    began = monotonic()
    one = Alarm(asyncio.get_running_loop(), lambda: found.append(monotonic() - began))
    for each in times:
        one.set(began + each)
    await asyncio.sleep(wait)
    one.close()
    await asyncio.sleep(0.03)
    return found


@pytest.mark.usefixtures("_timer")
def test_it_rings_once_and_not_before_its_time() -> None:
    (found,) = asyncio.run(rung(0.02))
    assert found >= 0.0199


@pytest.mark.usefixtures("_timer")
def test_only_the_time_that_was_set_last_counts() -> None:
    (found,) = asyncio.run(rung(0.01, 0.04))
    assert found >= 0.0399


@pytest.mark.usefixtures("_timer")
def test_a_time_that_has_passed_rings_at_once() -> None:
    assert len(asyncio.run(rung(-5.0))) == 1


@pytest.mark.usefixtures("_timer")
def test_after_its_end_it_is_silent() -> None:
    assert asyncio.run(rung(0.02, wait=0.0)) == []
