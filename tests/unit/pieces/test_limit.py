"""Limit: slots, queue, refusal, hand-over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mlpatterns import Limit
from mlpatterns.errors import DeadlineExceeded, Overloaded, Unavailable
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, request
from mlpatterns.user_errors import CompositionError


def run(work: Callable[[], Coroutine[Any, Any, None]], limit: Limit, clock: FakeClock | None = None) -> ProcessMetrics:
    metrics = ProcessMetrics()

    async def main() -> None:
        async with running(limit, settings=Settings(), clock=clock, metrics=metrics):
            await work()

    asyncio.run(main())
    return metrics


def ask(limit: Limit, value: float = 1.0, deadline: float | None = None) -> asyncio.Task[Any]:
    return asyncio.create_task(limit.predict(request([[value]], deadline=deadline)))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def value_of(metrics: ProcessMetrics, name: str, limit: str) -> float:
    (sample,) = [s for s in metrics.samples() if s.family.name == name and s.labels == (("piece", limit),)]
    return sample.values[0]


def test_no_more_than_max_concurrency_are_inside_and_the_others_wait_in_order() -> None:
    clock = FakeClock()
    model = SlowModel(seconds=1.0)
    limit = Limit(model, max_concurrency=2, max_queue=4)

    async def work() -> None:
        tasks = [ask(limit, float(i)) for i in range(6)]
        for _ in range(3):
            await clock.advance(1.0)
        assert [task.done() for task in tasks] == [True] * 6
        assert [float(seen.inputs["input"][0, 0]) for seen in model.requests] == [0, 1, 2, 3, 4, 5]
        assert model.most_running == 2

    run(work, limit, clock)


def test_one_more_than_the_queue_holds_is_refused_and_told_when_to_come_back() -> None:
    clock = FakeClock()
    limit = Limit(SlowModel(seconds=1.0), max_concurrency=1, max_queue=1, retry_after=2.5, name="narrow")

    async def work() -> None:
        inside, waiting = ask(limit), ask(limit)
        await turns()
        with pytest.raises(Overloaded, match="1 requests are being answered and 1 are waiting") as caught:
            await limit.predict(request([[1.0]]))
        assert caught.value.retry_after == 2.5
        await clock.advance(2.0)
        await asyncio.gather(inside, waiting)

    metrics = run(work, limit, clock)
    assert value_of(metrics, "mlpatterns_limit_refused_total", "narrow") == 1


def test_the_gauges_follow_and_end_at_zero() -> None:
    clock, metrics = FakeClock(), ProcessMetrics()
    limit = Limit(SlowModel(seconds=1.0), max_concurrency=1, max_queue=2, name="narrow")

    async def main() -> None:
        async with running(limit, settings=Settings(), clock=clock, metrics=metrics):
            tasks = [ask(limit) for _ in range(3)]
            await turns()
            assert value_of(metrics, "mlpatterns_limit_in_flight", "narrow") == 1
            assert value_of(metrics, "mlpatterns_limit_queued", "narrow") == 2
            tasks[1].cancel()
            await turns()
            assert value_of(metrics, "mlpatterns_limit_queued", "narrow") == 1
            await clock.advance(2.0)
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert value_of(metrics, "mlpatterns_limit_in_flight", "narrow") == 0
    assert value_of(metrics, "mlpatterns_limit_queued", "narrow") == 0


def test_a_deadline_ends_the_wait_and_frees_its_place() -> None:
    clock = FakeClock()
    model = SlowModel(seconds=1.0)
    limit = Limit(model, max_concurrency=1, max_queue=1)

    async def work() -> None:
        inside = ask(limit)
        waiting = ask(limit, deadline=clock.monotonic() + 0.002)
        with pytest.raises(DeadlineExceeded, match="while the request waited"):
            await waiting
        assert not inside.done()
        behind = ask(limit)  # the queue of one has room again
        await clock.advance(2.0)
        await asyncio.gather(inside, behind)
        assert model.calls == 2

    run(work, limit, clock)


def test_a_deadline_that_has_passed_does_not_wait_at_all() -> None:
    clock = FakeClock()
    limit = Limit(SlowModel(seconds=1.0), max_concurrency=1, max_queue=1)

    async def work() -> None:
        inside = ask(limit)
        await turns()
        with pytest.raises(DeadlineExceeded):
            await limit.predict(request([[1.0]], deadline=clock.monotonic()))
        await clock.advance(1.0)
        await inside

    run(work, limit, clock)


def test_one_who_waits_can_be_cancelled_and_never_gets_in() -> None:
    clock = FakeClock()
    model = SlowModel(seconds=1.0)
    limit = Limit(model, max_concurrency=1, max_queue=2)

    async def work() -> None:
        inside, leaving, staying = ask(limit), ask(limit), ask(limit)
        await turns()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await clock.advance(2.0)
        await asyncio.gather(inside, staying)
        assert model.calls == 2

    run(work, limit, clock)


def test_a_slot_handed_to_one_who_is_cancelled_at_that_moment_goes_to_the_next() -> None:
    clock = FakeClock()
    model = SlowModel(seconds=1.0)
    limit = Limit(model, max_concurrency=1, max_queue=2)

    async def work() -> None:
        inside, unlucky, following = ask(limit), ask(limit), ask(limit)
        await turns()
        inside.cancel()
        # Runs after `inside` has handed its slot over, and before `unlucky` wakes to find it.
        asyncio.get_running_loop().call_soon(unlucky.cancel)
        with pytest.raises(asyncio.CancelledError):
            await inside
        with pytest.raises(asyncio.CancelledError):
            await unlucky
        await turns()
        assert model.running == 1
        await clock.advance(1.0)
        assert (await following).outputs
        assert model.calls == 2

    run(work, limit, clock)


def test_a_slot_handed_to_one_who_is_cancelled_is_free_again_when_nobody_else_waits() -> None:
    clock = FakeClock()
    limit = Limit(SlowModel(seconds=1.0), max_concurrency=1, max_queue=1)

    async def work() -> None:
        inside, unlucky = ask(limit), ask(limit)
        await turns()
        inside.cancel()
        asyncio.get_running_loop().call_soon(unlucky.cancel)
        await asyncio.wait([inside, unlucky])
        again = ask(limit)
        await clock.advance(1.0)
        assert (await again).outputs

    run(work, limit, clock)


def test_the_slot_is_held_until_a_blocked_thread_truly_ends() -> None:
    model = SlowModel(seconds=0.02, blocking=True)
    limit = Limit(model, max_concurrency=1)

    async def work() -> None:
        inside = ask(limit)
        while not model.running:
            await asyncio.sleep(0)
        await asyncio.sleep(0.002)
        inside.cancel()
        await turns()
        with pytest.raises(Overloaded):
            await limit.predict(request([[1.0]]))
        with pytest.raises(asyncio.CancelledError):
            await inside
        await limit.predict(request([[1.0]]))

    run(work, limit)


def test_an_error_frees_the_slot() -> None:
    limit = Limit(FlakyModel(fails={1, 2}), max_concurrency=1)

    async def work() -> None:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await limit.predict(request([[1.0]]))
        assert (await limit.predict(request([[1.0]]))).outputs

    run(work, limit)


def test_those_who_wait_when_it_stops_are_told_so() -> None:
    clock = FakeClock()
    limit = Limit(SlowModel(seconds=1.0), max_concurrency=1, max_queue=1)

    async def main() -> None:
        async with running(limit, settings=Settings(), clock=clock):
            inside, waiting = ask(limit), ask(limit)
            await turns()
        with pytest.raises(Unavailable, match="stopping"):
            await waiting
        inside.cancel()
        await asyncio.wait([inside])

    asyncio.run(main())


@pytest.mark.parametrize("options", [{"max_concurrency": 0}, {"max_concurrency": 1, "max_queue": -1}])
def test_bounds_that_let_nothing_through_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CompositionError, match="at least"):
        Limit(CountingModel(), **options)


def test_under_a_storm_of_cancellations_every_slot_comes_back() -> None:
    model = SlowModel(seconds=0.001)
    limit = Limit(model, max_concurrency=3, max_queue=100)

    async def work() -> None:
        tasks = [ask(limit, deadline=time.monotonic() + 0.004 if i % 5 == 0 else None) for i in range(100)]
        for i, task in enumerate(tasks):
            if i % 3 == 0:
                asyncio.get_running_loop().call_later(0.0001 * i, task.cancel)
        await asyncio.wait(tasks)
        assert model.running == 0
        assert model.most_running <= 3
        results = await asyncio.gather(*(limit.predict(request([[1.0]])) for _ in range(3)))
        assert len(results) == 3
        assert model.most_running == 3

    metrics = run(work, limit)
    assert value_of(metrics, "mlpatterns_limit_in_flight", "slow") == 0
