"""keep and begin: what is started anew, what is not, and that it ends with who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from core import runtime_of
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.runtime import AppRuntime, running, tasks
from mlpatterns.settings import Settings
from mlpatterns.testing import FakeClock
from mlpatterns.user_errors import UnknownName

SETTINGS = Settings(control="memory://")


def run(work: Callable[[AppRuntime], Coroutine[Any, Any, None]], *, clock: FakeClock | None = None) -> dict[Any, float]:
    """Runs `work`; returns the values of the metrics by name and labels."""
    metrics = ProcessMetrics()

    async def main() -> None:
        async with running(settings=SETTINGS, clock=clock, metrics=metrics) as runtime:
            await work(runtime)

    asyncio.run(main())
    return {
        (sample.family.name, *(value for _, value in sample.labels)): sample.values[0] for sample in metrics.samples()
    }


def test_work_that_a_library_kept_from_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN", 0.05)
    ended: list[bool] = []

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):  # as asyncio.wait_for of Python 3.11 now and then
            await asyncio.sleep(60)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def work(runtime: AppRuntime) -> None:
        runtime_of(runtime).keep("deaf", deaf)
        await asyncio.sleep(0)

    run(work)
    assert ended == [True]


# ---- keep ----


def test_kept_work_that_fails_starts_anew_with_growing_delays(caplog: pytest.LogCaptureFixture) -> None:
    clock, starts = FakeClock(), list[float]()

    async def fail() -> None:
        starts.append(round(clock.monotonic() - 1000.0, 3))
        raise RuntimeError("again")

    async def work(runtime: AppRuntime) -> None:
        runtime_of(runtime).keep("failing", fail)
        await clock.advance(1.0)
        assert starts == [0.0, 0.1, 0.3, 0.7]
        for _ in range(200):
            await clock.advance(1.0)
        assert starts[-1] - starts[-2] == pytest.approx(30.0)
        (sample,) = [s for s in runtime.metrics.samples() if s.family.name == "mlpatterns_task_failures_total"]  # type: ignore[attr-defined]
        assert sample.labels == (("piece", "piece"), ("task", "failing"))
        assert sample.values == [len(starts)]

    run(work, clock=clock)
    assert "background work 'failing' of 'piece' failed" in caplog.text


def test_a_mistake_of_the_users_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def kept() -> None:
        raise UnknownName("model", "tulips") from KeyError("leaves")

    async def once() -> None:
        raise UnknownName("model", "roses") from KeyError("roses")

    async def work(runtime: AppRuntime) -> None:
        runtime_of(runtime).keep("worker", kept)
        runtime_of(runtime).begin("once", once, most=1)
        await asyncio.sleep(0.01)

    run(work)
    assert caplog.messages[:2] == [
        "background work 'worker' of 'piece' failed; it starts again in 0.1 s: there is no model 'tulips' ('leaves')",
        "background work 'once' of 'piece' failed: there is no model 'roses'",  # its cause says nothing more
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_work_that_failed_long_after_it_recovered_starts_anew_soon(caplog: pytest.LogCaptureFixture) -> None:
    clock, starts = FakeClock(), list[float]()

    async def fail() -> None:
        starts.append(clock.monotonic() - 1000.0)
        await clock.sleep(0.0 if len(starts) < 8 else 3600.0)
        raise RuntimeError("again")

    async def work(runtime: AppRuntime) -> None:
        runtime_of(runtime).keep("failing", fail)
        for _ in range(3700):
            await clock.advance(1.0)
        assert starts[8] - (starts[7] + 3600.0) == pytest.approx(0.1)

    run(work, clock=clock)


def test_kept_work_that_returns_is_done_and_work_that_runs_is_cancelled_at_the_end() -> None:
    notes: list[str] = []

    async def short() -> None:
        notes.append("short")

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            notes.append("cancelled")

    async def work(runtime: AppRuntime) -> None:
        runtime_of(runtime).keep("short", short)
        runtime_of(runtime).keep("endless", endless)
        await asyncio.sleep(0.001)
        assert notes == ["short"]

    run(work)
    assert notes == ["short", "cancelled"]


def test_kept_work_whose_failure_took_the_place_of_its_cancellation_has_ended() -> None:
    starts = list[int]()

    async def work() -> None:
        starts.append(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("it failed at the same moment") from None

    async def main(runtime: AppRuntime) -> None:
        runtime_of(runtime).keep("work", work)
        await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(ended(main), 5))
    assert starts == [1]


async def ended(work: Callable[[AppRuntime], Coroutine[Any, Any, None]]) -> None:
    async with running(settings=SETTINGS) as runtime:
        await work(runtime)


def test_kept_work_that_fails_is_told_until_it_has_run_for_a_while() -> None:
    clock, starts = FakeClock(), list[float]()

    async def twice() -> None:
        starts.append(clock.monotonic())
        await clock.sleep(1.0 if len(starts) == 1 else 3600.0)
        raise RuntimeError("once")

    async def work(runtime: AppRuntime) -> None:
        runtime_of(runtime, "iris").keep("follow", twice)
        await clock.advance(0.5)
        assert runtime.trouble() == []
        await clock.advance(1.0)
        assert len(starts) == 2
        assert runtime.trouble() == ["follow of iris fails and is started anew"]
        await clock.advance(30.0)
        assert runtime.trouble() == []

    run(work, clock=clock)


# ---- begin ----


def test_work_that_is_begun_runs_once_even_if_it_fails_and_the_failure_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, runs = FakeClock(), list[str]()

    async def fail() -> None:
        runs.append("run")
        raise RuntimeError("once")

    async def work(runtime: AppRuntime) -> None:
        assert runtime_of(runtime).begin("mirror", fail, most=1)
        for _ in range(100):
            await clock.advance(1.0)
        assert runs == ["run"]
        assert runtime.trouble() == []

    assert run(work, clock=clock)["mlpatterns_task_failures_total", "piece", "mirror"] == 1
    assert "background work 'mirror' of 'piece' failed" in caplog.text


def test_of_work_that_is_begun_no_more_than_most_runs_at_once_and_the_rest_is_counted() -> None:
    gate, runs = asyncio.Event(), list[int]()

    async def wait() -> None:
        runs.append(1)
        await gate.wait()

    async def work(app: AppRuntime) -> None:
        one, other = runtime_of(app, "one"), runtime_of(app, "other")
        assert [one.begin("mirror", wait, most=2) for _ in range(4)] == [True, True, False, False]
        assert one.begin("another", wait, most=1)
        assert other.begin("mirror", wait, most=1), "each piece has a bound of its own"
        gate.set()
        await asyncio.sleep(0.001)
        assert len(runs) == 4
        assert one.begin("mirror", wait, most=1)

    counted = run(work)
    assert counted["mlpatterns_tasks_refused_total", "one", "mirror"] == 2
    assert ("mlpatterns_tasks_refused_total", "other", "mirror") not in counted


def test_work_that_was_begun_is_cancelled_at_the_end() -> None:
    notes: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            notes.append("cancelled")

    async def work(runtime: AppRuntime) -> None:
        runtime_of(runtime).begin("mirror", endless, most=1)
        await asyncio.sleep(0)

    run(work)
    assert notes == ["cancelled"]
