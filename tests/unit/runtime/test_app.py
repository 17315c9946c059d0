"""running, start_tree and stores: who starts whom, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mlpatterns.base import BasePredictor
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.predictor import Predictor, Runtime
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.testing import FakeClock
from mlpatterns.user_errors import SettingsError

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
        await runtime.start_tree([("one", one)])
        assert notes[2:] == ["start own", "start one"]
        notes.clear()

    run(work, one, other)
    assert notes == ["stop one", "stop own", "stop other", "stop shared"]


def test_a_tree_that_fails_to_start_leaves_the_others_running() -> None:
    notes: list[str] = []
    shared = Noted("shared", notes)

    async def work(runtime: AppRuntime) -> None:
        notes.clear()
        new = Noted("new", notes, shared, Noted("own", notes), Noted("bad", notes, fails="start"))
        with pytest.raises(SettingsError, match="bad cannot start"):
            await runtime.start_tree([("new", new)])
        assert notes == ["start own", "start bad", "stop bad", "stop own"]
        notes.clear()

    run(work, Noted("root", notes, shared))
    assert notes == ["stop root", "stop shared"]


def test_the_background_work_of_a_predictor_ends_with_it_and_the_tasks_of_others_go_on() -> None:
    ended: list[str] = []

    class Working(BasePredictor):
        async def start(self, runtime: Runtime) -> None:
            async def forever() -> None:
                try:
                    await asyncio.sleep(3600)
                finally:
                    ended.append(self.name)

            runtime.keep(self.name, forever)

    one, other = Working("one"), Working("other")

    async def work(runtime: AppRuntime) -> None:
        await asyncio.sleep(0)
        await runtime.stop_tree(one)
        assert ended == ["one"]

    run(work, one, other)
    assert ended == ["one", "other"]


class Slow(Noted):
    """It starts when it is let."""

    gate: asyncio.Event

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        await self.gate.wait()


async def let_run() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_two_who_start_one_leaf_at_once_start_it_once_and_both_wait_and_one_who_stops_leaves_it_to_the_other() -> None:
    notes: list[str] = []

    async def work(runtime: AppRuntime) -> None:
        leaf = Slow("leaf", notes)
        leaf.gate = asyncio.Event()
        both = [asyncio.create_task(runtime.start_tree([(f"program {number}", leaf)])) for number in range(2)]
        await let_run()
        assert (notes, [task.done() for task in both]) == (["start leaf"], [False, False])
        leaf.gate.set()
        await asyncio.gather(*both)
        await runtime.start_tree([("a third", leaf)])
        assert notes == ["start leaf"]
        await runtime.stop_tree(leaf)
        await runtime.stop_tree(leaf)
        assert notes == ["start leaf"]
        await runtime.stop_tree(leaf)
        assert notes == ["start leaf", "stop leaf"]

    run(work)


def test_a_tree_that_fails_to_start_does_not_stop_what_another_has_asked_for_meanwhile() -> None:
    notes: list[str] = []

    async def work(runtime: AppRuntime) -> None:
        leaf, slow = Noted("leaf", notes), Slow("slow", notes, fails="start")
        gate = slow.gate = asyncio.Event()

        async def start(_: Runtime) -> None:
            await gate.wait()
            raise SettingsError("slow cannot start")

        slow.start = start  # type: ignore[assignment, method-assign]
        failing = asyncio.create_task(runtime.start_tree([("one", Noted("one", notes, leaf, slow))]))
        await let_run()
        await runtime.start_tree([("other", leaf)])
        gate.set()
        with pytest.raises(SettingsError):
            await failing
        assert notes == ["start leaf", "stop slow"]
        await runtime.stop_tree(leaf)
        assert notes[2:] == ["stop leaf"]

    run(work)


def test_a_leaf_whose_start_failed_is_started_by_the_next_who_waits_for_it_and_by_nobody_else() -> None:
    notes: list[str] = []

    async def work(runtime: AppRuntime) -> None:
        leaf = Noted("leaf", notes)
        gates: list[asyncio.Event] = []

        async def start(_: Runtime) -> None:
            gates.append(asyncio.Event())
            await gates[-1].wait()
            if len(gates) == 1:
                raise SettingsError("not at once")

        leaf.start = start  # type: ignore[assignment, method-assign]
        first, second = (asyncio.create_task(runtime.start_tree([("leaf", leaf)])) for _ in range(2))
        await let_run()
        gates[0].set()
        with pytest.raises(SettingsError):
            await first
        await let_run()
        third = asyncio.create_task(runtime.start_tree([("leaf", leaf)]))
        await let_run()
        assert (len(gates), notes) == (2, ["stop leaf"])
        gates[1].set()
        await asyncio.gather(second, third)
        assert (len(gates), notes) == (2, ["stop leaf"])

    run(work)


def test_who_starts_a_leaf_while_it_stops_waits_until_it_has_stopped() -> None:
    notes: list[str] = []

    async def work(runtime: AppRuntime) -> None:
        leaf, gate = Noted("leaf", notes), asyncio.Event()

        async def stop() -> None:
            await gate.wait()
            notes.append("stop leaf")

        leaf.stop = stop  # type: ignore[method-assign]
        await runtime.start_tree([("leaf", leaf)])
        stopping = asyncio.create_task(runtime.stop_tree(leaf))
        await let_run()
        starting = asyncio.create_task(runtime.start_tree([("leaf", leaf)]))
        await let_run()
        gate.set()
        await asyncio.gather(stopping, starting)
        assert notes == ["start leaf", "stop leaf", "start leaf"]

    run(work)


def test_what_is_apart_starts_when_its_piece_asks_for_it_under_its_own_path() -> None:
    seen: list[str] = []

    class Leaf(BasePredictor):
        async def start(self, runtime: Runtime) -> None:
            seen.append(runtime.path)

    class Queue(BasePredictor):
        apart = ("model",)

        async def start(self, runtime: Runtime) -> None:
            seen.append(runtime.path)
            self.runtime = runtime

    queue = Queue("queue", {"model": Leaf("iris")})

    async def work(runtime: AppRuntime) -> None:
        assert seen == ["queue"]
        await queue.runtime.start_tree(queue.children["model"])
        assert seen == ["queue", "queue/model"]

    run(work, queue)


def test_an_unknown_control_store_fails_the_start_with_a_sentence() -> None:
    async def main() -> None:
        async with running(settings=Settings(control="carrier-pigeon://roof")):
            raise AssertionError("it must not run")

    with pytest.raises(SettingsError, match=r"there is no ControlStore for carrier-pigeon://; use .*memory://"):
        asyncio.run(main())


# ---- stores ----


class Box:
    """A kind of store that only tests open."""

    opened: int = 0

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    async def close(self) -> None:
        self.notes.append("close store")


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Opens Box stores; `gate` holds an opening back, `fail` makes it fail."""
    state: dict[str, Any] = {"opened": 0, "notes": [], "gate": None, "fail": 0}

    async def open_box(need: type, url: str) -> Any:
        if need is not Box:
            return Box([])
        state["opened"] += 1
        if state["gate"]:
            await state["gate"].wait()
        if state["fail"]:
            state["fail"] -= 1
            raise SettingsError("the box is gone")
        return Box(state["notes"])

    monkeypatch.setattr("mlpatterns.runtime.app.open_store", open_box)
    return state


def test_there_is_one_store_a_url_and_it_closes_last(boxes: dict[str, Any]) -> None:
    async def work(runtime: AppRuntime) -> None:
        first, second = await asyncio.gather(runtime.store(Box, "memory://"), runtime.store(Box, "memory://"))
        assert first is second
        assert await runtime.store(Box, "memory://other") is not first

    run(work, Noted("root", boxes["notes"]))
    assert boxes["opened"] == 2
    assert boxes["notes"] == ["start root", "stop root", "close store", "close store"]


def test_a_store_that_did_not_open_is_tried_again_and_opened_once_by_many(boxes: dict[str, Any]) -> None:
    async def insist(runtime: AppRuntime) -> Box:
        try:
            return await runtime.store(Box, "memory://")
        except SettingsError:
            return await runtime.store(Box, "memory://")

    async def work(runtime: AppRuntime) -> None:
        boxes["fail"] = 1
        found = await asyncio.gather(*(insist(runtime) for _ in range(3)))
        assert len({id(box) for box in found}) == 1

    run(work)
    assert boxes["opened"] == 2
    assert boxes["notes"] == ["close store"]


def test_a_store_whose_caller_left_while_it_opened_is_closed_too(boxes: dict[str, Any]) -> None:
    async def work(runtime: AppRuntime) -> None:
        boxes["gate"] = asyncio.Event()
        asking = asyncio.create_task(runtime.store(Box, "memory://"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        asyncio.get_running_loop().call_later(0.001, boxes["gate"].set)

    run(work)
    assert boxes["notes"] == ["close store"]


def test_each_app_has_metrics_of_its_own_unless_it_is_given_some() -> None:
    seen: list[object] = []

    async def work(runtime: AppRuntime) -> None:
        seen.append(runtime.metrics)

    run(work)
    run(work)
    assert seen[0] is not seen[1]
    given = ProcessMetrics()

    async def main() -> None:
        async with running(settings=SETTINGS, metrics=given) as runtime:
            assert runtime.metrics is given

    asyncio.run(main())
