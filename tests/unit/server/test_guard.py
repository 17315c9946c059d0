"""The guard: deadlines and departed clients, with work that never waits, waits, or will not stop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from mlpatterns.errors import DeadlineExceeded, InvalidInput
from mlpatterns.server.guard import Guard, WorkAbandoned, guarded


class Request:
    """A request whose client leaves when `leave` is set."""

    def __init__(self, seconds: float = 10, *, reading: bool = False) -> None:
        self.deadline = time.monotonic() + seconds
        self.guard: Guard | None = None
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
        request = Request()
        assert await guarded(request, now()) == 1
        assert request.guard is None

    asyncio.run(main())


def test_work_that_never_waits_but_ends_too_late_is_a_passed_deadline() -> None:
    async def main() -> None:
        with pytest.raises(DeadlineExceeded):
            await guarded(Request(-1), now())

    asyncio.run(main())


def test_work_that_waits_answers() -> None:
    async def main() -> None:
        assert await guarded(Request(), soon()) == 2

    asyncio.run(main())


def test_work_that_waited_and_then_ends_too_late_without_waiting_is_a_passed_deadline() -> None:
    async def main() -> None:
        request = Request()

        async def late() -> None:
            await asyncio.sleep(0)
            request.deadline = 0.0  # as if the rest had taken that long: no timer had a turn

        with pytest.raises(DeadlineExceeded):
            await guarded(request, late())
        assert request.refusals == 0

    asyncio.run(main())


def test_an_error_of_work_that_waited_is_raised_as_it_is() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise InvalidInput("no")

    async def main() -> None:
        with pytest.raises(InvalidInput, match="no"):
            await guarded(Request(), fails())

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
        request = Request(0.01)
        with pytest.raises(WorkAbandoned) as caught:
            await guarded(request, long())
        assert request.guard is not None
        await request.guard.refused()
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
        request, seen = Request(0.01), list[int]()
        with pytest.raises(WorkAbandoned):
            await guarded(request, stubborn(request, seen))
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
        with pytest.raises(WorkAbandoned):
            await guarded(Request(0.01), swallows())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(main())


def test_a_client_that_leaves_cancels_its_work() -> None:
    async def main() -> None:
        request = Request()
        asyncio.get_running_loop().call_later(0.02, request.leave.set)
        with pytest.raises(WorkAbandoned) as caught:
            await guarded(request, asyncio.sleep(60))
        assert (caught.value.reason, request.refusals) == ("client", 0)

    asyncio.run(main())


def test_nobody_asks_for_the_client_while_the_body_is_still_arriving() -> None:
    async def main() -> None:
        request = Request(reading=True)
        request.leave.set()
        assert await guarded(request, asyncio.sleep(0.03, "done")) == "done"

    asyncio.run(main())


def test_a_cancellation_from_outside_passes_through() -> None:
    async def run() -> Any:
        return await guarded(Request(), asyncio.sleep(60))

    async def outer() -> None:
        task = asyncio.create_task(run())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(outer())


def test_a_tighter_deadline_counts_also_once_the_timer_runs() -> None:
    async def main() -> None:
        request = Request(60)

        async def work() -> None:
            await asyncio.sleep(0)
            request.deadline = time.monotonic() + 0.005
            assert request.guard is not None
            request.guard.rearm()
            await asyncio.sleep(60)

        with pytest.raises(WorkAbandoned):
            await guarded(request, work())

    asyncio.run(main())
