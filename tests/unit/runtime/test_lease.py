"""Leases: of all who want to do a work one does it, and another when the first is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from mlpatterns.errors import Unavailable
from mlpatterns.interfaces import Clock, ControlStore, Document
from mlpatterns.runtime import SystemClock
from mlpatterns.runtime.lease import Lease
from mlpatterns.stores.control_memory import MemoryControl
from mlpatterns.testing import FakeClock

SECONDS = 9.0


class Store(MemoryControl):
    """It can be down, or accept and never answer."""

    down = hangs = False

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        await self._answer()
        return await super().get_many(keys)

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        await self._answer()
        return await super().put(key, value, expected=expected, by=by)

    async def _answer(self) -> None:
        if self.down:
            raise Unavailable("the control store does not answer")
        if self.hangs:
            await asyncio.Event().wait()


class Replica:
    """One process that wants to do the work; what it did is kept."""

    def __init__(self, store: ControlStore, clock: Clock, seconds: float = SECONDS) -> None:
        self.fences: list[int] = []
        self.working = 0
        self.fails = False
        self.lease = Lease(store, clock, "lease/iris/monitor", seconds)
        self.task = asyncio.create_task(self.lease.hold(self.work))

    async def work(self, fence: int) -> None:
        self.fences.append(fence)
        self.working += 1
        try:
            if self.fails:
                raise RuntimeError("the work fails")
            await asyncio.Event().wait()
        finally:
            self.working -= 1

    async def until(self, *, working: bool) -> None:
        while bool(self.working) != working:
            await asyncio.sleep(0.01)

    def kill(self) -> None:
        """As by a kill -9: nothing is given back."""
        self.lease._release = nothing  # type: ignore[method-assign]
        self.task.cancel()


async def nothing() -> None:
    """Gives nothing back."""


def run(work: Callable[[Store, FakeClock, list[Replica]], Awaitable[None]], count: int = 3) -> None:
    async def main() -> None:
        store, clock = Store(), FakeClock()
        replicas = [Replica(store, clock) for _ in range(count)]
        await clock.advance(0)
        try:
            async with asyncio.timeout(20):
                await work(store, clock, replicas)
        finally:
            for replica in replicas:
                replica.task.cancel()
            await asyncio.gather(*(replica.task for replica in replicas), return_exceptions=True)

    asyncio.run(main())


def working(replicas: list[Replica]) -> list[Replica]:
    return [replica for replica in replicas if replica.working]


async def passes(clock: FakeClock, seconds: float, replicas: list[Replica]) -> None:
    """Time passes, and never do two work at once."""
    for _ in range(round(seconds * 2)):
        await clock.advance(0.5)
        assert len(working(replicas)) <= 1


def test_of_three_one_does_the_work_and_keeps_it() -> None:
    async def work(store: Store, clock: FakeClock, replicas: list[Replica]) -> None:
        (holder,) = working(replicas)
        await passes(clock, 100, replicas)
        assert working(replicas) == [holder]
        assert [len(replica.fences) for replica in replicas].count(0) == 2

    run(work)


def test_when_the_holder_is_killed_another_has_it_within_the_lease_and_a_third_and_its_fence_is_greater() -> None:
    async def work(store: Store, clock: FakeClock, replicas: list[Replica]) -> None:
        await passes(clock, 20, replicas)
        fences = []
        for _ in range(2):
            (holder,) = working(replicas)
            fences.append(holder.fences[-1])
            holder.kill()
            await passes(clock, SECONDS * 4 / 3 + 1, replicas)
        (last,) = working(replicas)
        assert fences[0] < fences[1] < last.fences[-1]

    run(work)


def test_nobody_takes_the_lease_while_it_may_be_renewed_yet() -> None:
    async def work(store: Store, clock: FakeClock, replicas: list[Replica]) -> None:
        (holder,) = working(replicas)
        holder.kill()
        await passes(clock, SECONDS - 1, replicas)
        assert working(replicas) == []

    run(work)


def test_a_holder_that_ends_gives_the_lease_back_so_that_another_need_not_wait() -> None:
    async def work(store: Store, clock: FakeClock, replicas: list[Replica]) -> None:
        (holder,) = working(replicas)
        holder.task.cancel()
        await passes(clock, SECONDS / 3 + 0.5, replicas)
        assert len(working(replicas)) == 1
        assert working(replicas) != [holder]

    run(work)


def test_a_lease_that_another_has_written_ends_the_work_and_it_begins_anew_with_a_greater_fence() -> None:
    async def work(store: Store, clock: FakeClock, replicas: list[Replica]) -> None:
        (only,) = replicas
        stored = (await store.get_many([only.lease._key]))[only.lease._key]
        await store.put(only.lease._key, "another", expected=stored.revision, by="another")
        await passes(clock, SECONDS / 3 + 0.5, replicas)
        assert only.working == 0
        await passes(clock, SECONDS * 4 / 3 + 1, replicas)
        assert only.working == 1
        assert only.fences[1] > only.fences[0]

    run(work, 1)


def test_a_store_that_is_down_for_longer_than_the_lease_ends_the_work() -> None:
    async def work(store: Store, clock: FakeClock, replicas: list[Replica]) -> None:
        store.down = True
        await passes(clock, SECONDS / 2, replicas)
        assert len(working(replicas)) == 1
        store.down = False
        await passes(clock, 2 * SECONDS, replicas)
        assert sum(len(replica.fences) for replica in replicas) == 1, "a short while costs nothing"
        store.down = True
        await passes(clock, SECONDS + 1, replicas)
        assert working(replicas) == [], "another might have it now"
        store.down = False
        await passes(clock, SECONDS * 2, replicas)
        assert len(working(replicas)) == 1

    run(work)


def test_a_store_that_does_not_answer_for_longer_than_the_lease_ends_the_work() -> None:
    async def main() -> None:
        store = Store()
        replica = Replica(store, SystemClock(), seconds=0.3)
        async with asyncio.timeout(20):
            await replica.until(working=True)
            store.hangs = True
            await replica.until(working=False)
            store.hangs = False
            await replica.until(working=True)
        assert replica.fences[1] > replica.fences[0]
        replica.task.cancel()
        await asyncio.gather(replica.task, return_exceptions=True)

    asyncio.run(main())


def test_who_waits_for_a_store_that_does_not_answer_asks_again() -> None:
    class Silent(Store):
        asked = 0

        async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
            self.asked += 1
            if self.asked == 1:
                await asyncio.Event().wait()  # this answer was lost
            return await super().get_many(keys)

    async def main() -> None:
        replica = Replica(Silent(), SystemClock(), seconds=0.3)
        async with asyncio.timeout(20):
            await replica.until(working=True)
        replica.task.cancel()
        await asyncio.gather(replica.task, return_exceptions=True)

    asyncio.run(main())


def test_work_that_fails_raises_and_gives_the_lease_back() -> None:
    async def work(store: Store, clock: FakeClock, replicas: list[Replica]) -> None:
        (holder,) = working(replicas)
        failing = next(replica for replica in replicas if replica is not holder)
        failing.fails = True
        holder.task.cancel()
        last = next(replica for replica in replicas if replica not in (holder, failing))
        last.task.cancel()
        await passes(clock, SECONDS / 3 + 0.5, replicas)
        with pytest.raises(RuntimeError, match="the work fails"):
            await failing.task
        stored = (await store.get_many([failing.lease._key]))[failing.lease._key]
        assert stored.value == ""

    run(work)


def test_work_that_is_done_is_not_done_again_by_another() -> None:
    async def main() -> None:
        store, clock, done = Store(), FakeClock(), list[int]()

        async def once(fence: int) -> None:
            done.append(fence)

        leases = [Lease(store, clock, "lease/iris/batch", SECONDS) for _ in range(2)]
        tasks = [asyncio.create_task(lease.hold(once)) for lease in leases]
        for _ in range(60):
            await clock.advance(1)
        assert len(done) == 1
        for task in tasks:
            task.cancel()

    asyncio.run(main())
