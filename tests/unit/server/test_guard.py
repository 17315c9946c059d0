"""The guard: deadlines and departed clients, with work that never waits, waits, or will not stop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from mlpatterns.errors import DeadlineExceeded, InvalidInput
from mlpatterns.server.guard import Abandoned, Guard


class Request:
    """A request whose client leaves when `leave` is set."""

    def __init__(self, *, reading: bool = False) -> None:
        self.refusals = 0
        self.leave = asyncio.Event()
        self.is_reading = reading

    async def refuse(self) -> None:
        await asyncio.sleep(0)
        self.refusals += 1

    def reading(self) -> bool:
        return self.is_reading

    async def gone(self) -> None:
        await self.leave.wait()


async def now() -> int:
    return 1


async def soon() -> int:
    await asyncio.sleep(0.001)
    return 2


def test_work_that_never_waits_answers_and_sets_no_timer() -> None:
    async def main() -> None:
        guard = Guard(time.monotonic() + 10, Request())
        assert await guard.run(now()) == 1
        assert guard._timer is None

    asyncio.run(main())


def test_work_that_never_waits_but_ends_too_late_is_a_passed_deadline() -> None:
    async def main() -> None:
        with pytest.raises(DeadlineExceeded):
            await Guard(time.monotonic() - 1, Request()).run(now())

    asyncio.run(main())


def test_work_that_waits_answers() -> None:
    async def main() -> None:
        assert await Guard(time.monotonic() + 10, Request()).run(soon()) == 2

    asyncio.run(main())


def test_an_error_of_work_that_waited_is_raised_as_it_is() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise InvalidInput("no")

    async def main() -> None:
        with pytest.raises(InvalidInput, match="no"):
            await Guard(time.monotonic() + 10, Request()).run(fails())

    asyncio.run(main())


def test_a_passed_deadline_is_refused_at_once_and_the_work_is_cancelled() -> None:
    cancelled = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        request = Request()
        guard = Guard(time.monotonic() + 0.01, request)
        with pytest.raises(Abandoned) as caught:
            await guard.run(long())
        await guard.refused()
        assert (caught.value.reason, request.refusals, cancelled) == ("deadline", 1, [True])
        await asyncio.sleep(0)  # the task itself is no longer being cancelled

    asyncio.run(main())


def test_the_refusal_does_not_wait_for_work_that_will_not_stop() -> None:
    async def stubborn(request: Request, seen: list[int]) -> None:
        work = asyncio.ensure_future(asyncio.sleep(0.05))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await work
            seen.append(request.refusals)
            raise

    async def main() -> None:
        request, seen = Request(), list[int]()
        with pytest.raises(Abandoned):
            await Guard(time.monotonic() + 0.01, request).run(stubborn(request, seen))
        assert seen == [1], "the refusal went out while the work was still ending"

    asyncio.run(main())


def test_work_that_swallows_the_cancellation_still_ends_as_given_up() -> None:
    async def swallows() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 1
        return 0

    async def main() -> None:
        guard = Guard(time.monotonic() + 0.01, Request())
        with pytest.raises(Abandoned):
            await guard.run(swallows())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(main())


def test_a_client_that_leaves_cancels_its_work() -> None:
    async def main() -> None:
        request = Request()
        asyncio.get_running_loop().call_later(0.02, request.leave.set)
        with pytest.raises(Abandoned) as caught:
            await Guard(time.monotonic() + 10, request).run(asyncio.sleep(60))
        assert (caught.value.reason, request.refusals) == ("client", 0)

    asyncio.run(main())


def test_nobody_asks_for_the_client_while_the_body_is_still_arriving() -> None:
    async def main() -> None:
        request = Request(reading=True)
        request.leave.set()
        assert await Guard(time.monotonic() + 10, request).run(asyncio.sleep(0.03, "done")) == "done"

    asyncio.run(main())


def test_a_cancellation_from_outside_passes_through() -> None:
    async def run() -> Any:
        return await Guard(time.monotonic() + 10, Request()).run(asyncio.sleep(60))

    async def outer() -> None:
        task = asyncio.create_task(run())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(outer())


def test_a_tighter_deadline_counts_also_once_the_timer_runs() -> None:
    async def main() -> None:
        guard = Guard(time.monotonic() + 60, Request())

        async def work() -> None:
            await asyncio.sleep(0)
            guard.tighten(time.monotonic() + 0.005)
            await asyncio.sleep(60)

        with pytest.raises(Abandoned):
            await guard.run(work())

    asyncio.run(main())
