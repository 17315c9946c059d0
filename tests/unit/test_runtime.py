"""running, offload, spawn, stores: who starts whom, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mlpatterns.base import BasePredictor
from mlpatterns.errors import CompositionError, SettingsError
from mlpatterns.metrics import MetricRegistry
from mlpatterns.predictor import Predictor, Runtime
from mlpatterns.runtime import AppRuntime, leaves_first, running, settled
from mlpatterns.settings import Settings
from mlpatterns.testing import FakeClock

SETTINGS = Settings(threads=1)


class Noted(BasePredictor):
    """Writes down when it starts and stops."""

    def __init__(self, name: str, notes: list[str], *children: Predictor, fails: str = "") -> None:
        super().__init__(name, {child.name: child for child in children})
        self.notes, self.fails = notes, fails

    async def start(self, runtime: Runtime) -> None:
        self.notes.append(f"start {self.name}")
        if self.fails == "start":
            raise SettingsError(f"{self.name} cannot start")

    async def stop(self) -> None:
        self.notes.append(f"stop {self.name}")
        if self.fails == "stop":
            raise RuntimeError(f"{self.name} cannot stop")


def run(
    work: Callable[[AppRuntime], Coroutine[Any, Any, None]], *roots: Predictor, clock: FakeClock | None = None
) -> None:
    async def main() -> None:
        async with running(*roots, settings=SETTINGS, clock=clock) as runtime:
            await work(runtime)

    asyncio.run(main())


async def nothing(runtime: AppRuntime) -> None:
    """A body that does nothing."""


# ---- running ----


def test_leaves_start_first_and_stop_last() -> None:
    notes: list[str] = []
    a, b = Noted("a", notes), Noted("b", notes)
    run(nothing, Noted("root", notes, a, b))
    assert notes == ["start a", "start b", "start root", "stop root", "stop b", "stop a"]


def test_a_predictor_used_twice_starts_once_and_two_of_one_name_start_both() -> None:
    notes: list[str] = []
    shared = Noted("shared", notes)
    run(nothing, Noted("x", notes, shared), Noted("x", notes, shared))
    assert notes.count("start shared") == notes.count("stop shared") == 1
    assert notes.count("start x") == notes.count("stop x") == 2


def test_a_failed_start_stops_what_had_started_itself_included_and_raises_its_error() -> None:
    notes: list[str] = []
    good, bad, never = Noted("good", notes), Noted("bad", notes, fails="start"), Noted("never", notes)
    with pytest.raises(SettingsError, match="bad cannot start"):
        run(nothing, Noted("root", notes, good, bad, never))
    assert notes == ["start good", "start bad", "stop bad", "stop good"]


def test_one_that_does_not_stop_does_not_keep_the_others_from_stopping(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    run(nothing, Noted("root", notes, Noted("bad", notes, fails="stop"), Noted("good", notes)))
    assert notes[3:] == ["stop root", "stop good", "stop bad"]
    assert "'bad' did not stop" in caplog.text


def test_an_error_of_the_body_stops_everything_and_is_raised() -> None:
    notes: list[str] = []

    async def work(runtime: AppRuntime) -> None:
        raise ValueError("from the body")

    with pytest.raises(ValueError, match="from the body"):
        run(work, Noted("root", notes))
    assert notes == ["start root", "stop root"]


def test_one_tree_stops_alone_and_what_another_uses_runs_on() -> None:
    notes: list[str] = []
    shared, own = Noted("shared", notes), Noted("own", notes)
    one, other = Noted("one", notes, shared, own), Noted("other", notes, shared)

    async def work(runtime: AppRuntime) -> None:
        notes.clear()
        await runtime.stop_tree(one)
        assert notes == ["stop one", "stop own"]
        await runtime.start_tree(one)
        assert notes[2:] == ["start own", "start one"]
        notes.clear()

    run(work, one, other)
    assert notes == ["stop one", "stop own", "stop other", "stop shared"]


def test_a_tree_that_fails_to_start_leaves_the_others_running() -> None:
    notes: list[str] = []
    shared = Noted("shared", notes)

    async def work(runtime: AppRuntime) -> None:
        notes.clear()
        with pytest.raises(SettingsError, match="bad cannot start"):
            await runtime.start_tree(
                Noted("new", notes, shared, Noted("own", notes), Noted("bad", notes, fails="start"))
            )
        assert notes == ["start own", "start bad", "stop bad", "stop own"]
        notes.clear()

    run(work, Noted("root", notes, shared))
    assert notes == ["stop root", "stop shared"]


def test_what_a_predictor_spawned_ends_with_it_and_the_tasks_of_others_go_on() -> None:
    ended: list[str] = []

    class Spawning(BasePredictor):
        async def start(self, runtime: Runtime) -> None:
            async def forever() -> None:
                try:
                    await asyncio.sleep(3600)
                finally:
                    ended.append(self.name)

            runtime.spawn(self.name, forever)

    one, other = Spawning("one"), Spawning("other")

    async def work(runtime: AppRuntime) -> None:
        await asyncio.sleep(0)
        await runtime.stop_tree(one)
        assert ended == ["one"]

    run(work, one, other)
    assert ended == ["one", "other"]


def test_a_predictor_that_contains_itself_is_a_composition_error() -> None:
    loop = Noted("loop", [])
    loop.children = {"itself": Noted("between", [], loop)}
    with pytest.raises(CompositionError, match="'loop' contains itself"):
        list(leaves_first(loop))


def test_an_unknown_control_store_fails_the_start_with_a_sentence() -> None:
    async def main() -> None:
        async with running(settings=Settings(control="carrier-pigeon://roof")):
            raise AssertionError("it must not run")

    with pytest.raises(SettingsError, match=r"no ControlStore at carrier-pigeon://; there is .*memory://"):
        asyncio.run(main())


# ---- offload ----


def test_offload_gives_what_the_work_gives_and_raises_what_it_raises() -> None:
    def fail() -> None:
        raise ValueError("in the thread")

    async def work(runtime: AppRuntime) -> None:
        assert await runtime.offload(threading.get_ident) != threading.get_ident()
        with pytest.raises(ValueError, match="in the thread"):
            await runtime.offload(fail)

    run(work)


def test_a_cancelled_offload_ends_only_when_its_thread_has() -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def thread() -> None:
        began.set()
        may_end.wait(5)
        ended.set()

    async def work(runtime: AppRuntime) -> None:
        task = asyncio.create_task(runtime.offload(thread))
        while not began.is_set():
            await asyncio.sleep(0)
        for _ in range(3):  # one cancellation or many: the same
            task.cancel()
            await asyncio.sleep(0.001)
            assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    run(work)


def test_work_that_is_cancelled_while_it_waits_for_a_thread_never_begins() -> None:
    began, may_end = threading.Event(), threading.Event()
    ran: list[str] = []

    def thread() -> None:
        began.set()
        may_end.wait(5)

    async def work(runtime: AppRuntime) -> None:
        busy = asyncio.create_task(runtime.offload(thread))  # the one thread of these settings
        while not began.is_set():
            await asyncio.sleep(0)
        waiting = asyncio.create_task(runtime.offload(lambda: ran.append("ran")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting  # at once: nothing has to end first
        assert not busy.done()
        may_end.set()
        await busy

    run(work)
    assert ran == []


def test_the_error_of_work_whose_caller_left_is_not_reported_as_never_retrieved() -> None:
    began, may_fail = threading.Event(), threading.Event()
    complaints: list[dict[str, Any]] = []

    def thread() -> None:
        began.set()
        may_fail.wait(5)
        raise ValueError("nobody listens")

    async def work(runtime: AppRuntime) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        task = asyncio.create_task(runtime.offload(thread))
        while not began.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        may_fail.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work)
    assert complaints == []


def test_settled_tells_the_work_once_that_nobody_waits() -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        told: list[str] = []
        task = asyncio.create_task(settled(future, lambda: told.append("stop")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert told == ["stop"]
        assert not task.done()
        future.set_result(1)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


# ---- spawn ----


def test_spawned_work_that_fails_starts_anew_with_growing_delays(caplog: pytest.LogCaptureFixture) -> None:
    clock, starts = FakeClock(), list[float]()

    async def fail() -> None:
        starts.append(round(clock.monotonic() - 1000.0, 3))
        raise RuntimeError("again")

    async def work(runtime: AppRuntime) -> None:
        runtime.spawn("failing", fail)
        await clock.advance(1.0)
        assert starts == [0.0, 0.1, 0.3, 0.7]
        for _ in range(200):
            await clock.advance(1.0)
        assert starts[-1] - starts[-2] == pytest.approx(30.0)
        (sample,) = [s for s in runtime.metrics.samples() if s.family.name == "mlpatterns_task_failures_total"]  # type: ignore[attr-defined]
        assert sample.labels == (("task", "failing"),)
        assert sample.values == [len(starts)]

    run(work, clock=clock)
    assert "background task 'failing' failed" in caplog.text


def test_work_that_failed_long_after_it_recovered_starts_anew_soon(caplog: pytest.LogCaptureFixture) -> None:
    clock, starts = FakeClock(), list[float]()

    async def fail() -> None:
        starts.append(clock.monotonic() - 1000.0)
        await clock.sleep(0.0 if len(starts) < 8 else 3600.0)
        raise RuntimeError("again")

    async def work(runtime: AppRuntime) -> None:
        runtime.spawn("failing", fail)
        for _ in range(3700):
            await clock.advance(1.0)
        assert starts[8] - (starts[7] + 3600.0) == pytest.approx(0.1)

    run(work, clock=clock)


def test_spawned_work_that_returns_is_done_and_work_that_runs_is_cancelled_at_the_end() -> None:
    notes: list[str] = []

    async def short() -> None:
        notes.append("short")

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            notes.append("cancelled")

    async def work(runtime: AppRuntime) -> None:
        runtime.spawn("short", short)
        runtime.spawn("endless", endless)
        await asyncio.sleep(0.001)
        assert notes == ["short"]

    run(work)
    assert notes == ["short", "cancelled"]


# ---- stores ----


class Shelf:
    """A kind of store that only tests open."""

    opened: int = 0

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    async def close(self) -> None:
        self.notes.append("close store")


@pytest.fixture
def shelves(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Opens Shelf stores; `gate` holds an opening back, `fail` makes it fail."""
    state: dict[str, Any] = {"opened": 0, "notes": [], "gate": None, "fail": 0}

    async def open_shelf(need: type, url: str) -> Any:
        if need is not Shelf:
            return Shelf([])
        state["opened"] += 1
        if state["gate"]:
            await state["gate"].wait()
        if state["fail"]:
            state["fail"] -= 1
            raise SettingsError("the shelf is gone")
        return Shelf(state["notes"])

    monkeypatch.setattr("mlpatterns.runtime.open_store", open_shelf)
    return state


def test_there_is_one_store_a_url_and_it_closes_last(shelves: dict[str, Any]) -> None:
    async def work(runtime: AppRuntime) -> None:
        first, second = await asyncio.gather(runtime.store(Shelf, "memory://"), runtime.store(Shelf, "memory://"))
        assert first is second
        assert await runtime.store(Shelf, "memory://other") is not first

    run(work, Noted("root", shelves["notes"]))
    assert shelves["opened"] == 2
    assert shelves["notes"] == ["start root", "stop root", "close store", "close store"]


def test_a_store_that_did_not_open_is_tried_again_and_opened_once_by_many(shelves: dict[str, Any]) -> None:
    async def insist(runtime: AppRuntime) -> Shelf:
        try:
            return await runtime.store(Shelf, "memory://")
        except SettingsError:
            return await runtime.store(Shelf, "memory://")

    async def work(runtime: AppRuntime) -> None:
        shelves["fail"] = 1
        found = await asyncio.gather(*(insist(runtime) for _ in range(3)))
        assert len({id(shelf) for shelf in found}) == 1

    run(work)
    assert shelves["opened"] == 2
    assert shelves["notes"] == ["close store"]


def test_a_store_whose_caller_left_while_it_opened_is_closed_too(shelves: dict[str, Any]) -> None:
    async def work(runtime: AppRuntime) -> None:
        shelves["gate"] = asyncio.Event()
        asking = asyncio.create_task(runtime.store(Shelf, "memory://"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        asyncio.get_running_loop().call_later(0.001, shelves["gate"].set)

    run(work)
    assert shelves["notes"] == ["close store"]


def test_each_app_has_metrics_of_its_own_unless_it_is_given_some() -> None:
    seen: list[object] = []

    async def work(runtime: AppRuntime) -> None:
        seen.append(runtime.metrics)

    run(work)
    run(work)
    assert seen[0] is not seen[1]
    given = MetricRegistry()

    async def main() -> None:
        async with running(settings=SETTINGS, metrics=given) as runtime:
            assert runtime.metrics is given

    asyncio.run(main())
