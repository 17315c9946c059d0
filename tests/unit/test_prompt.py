"""Work that is begun at once, as if in the task that goes on with it if it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from mlpatterns.prompt import Standby

mark: ContextVar[str] = ContextVar("mark", default="none")


def prompt(
    work: Callable[[], Awaitable[None]], meanwhile: Callable[[], None] = lambda: None
) -> asyncio.Task[None] | None:
    """Begins `work()` in a callback of a loop, and awaits it if it waits; the task that it then was.

    Args:
        meanwhile: is called between the order to go on and the going on.
    """

    async def main() -> asyncio.Task[None] | None:
        loop, standby = asyncio.get_running_loop(), Standby(asyncio.get_running_loop())
        done: asyncio.Future[asyncio.Task[None] | None] = loop.create_future()

        async def whole() -> None:
            await work()

        def begin() -> None:
            if not standby.ready():
                loop.call_soon(begin)
                return
            try:
                begun = standby.begin(whole())
            except BaseException as error:
                done.set_exception(error)
                return
            done.set_result(None if begun is None else standby.go_on(begun, goes_on(begun)))
            meanwhile()

        async def goes_on(begun: Any) -> None:
            await begun.rest()

        loop.call_soon(begin)
        task = await done
        if task is not None:
            await asyncio.wait([task], timeout=10)
        return task

    return asyncio.run(main())


def test_what_does_not_wait_is_over_at_once_and_in_a_task_all_the_same() -> None:
    seen: list[Any] = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    assert prompt(work) is None
    assert isinstance(seen[0], asyncio.Task)


def test_what_waits_goes_on_in_the_task_it_began_in_and_in_its_own_context() -> None:
    seen: list[Any] = []

    async def work() -> None:
        mark.set("mine")
        seen.append(asyncio.current_task())
        await asyncio.sleep(0.001)
        assert await asyncio.to_thread(mark.get) == "mine"
        seen.extend((asyncio.current_task(), mark.get()))

    task = prompt(work)
    assert task is not None
    assert task.exception() is None
    assert seen == [task, task, "mine"]
    assert mark.get() == "none"


def test_its_error_is_raised_at_once_or_is_the_tasks() -> None:
    async def now() -> None:
        raise ValueError("now")

    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    with pytest.raises(ValueError, match="now"):
        prompt(now)
    task = prompt(later)
    assert task is not None
    with pytest.raises(ValueError, match="later"):
        task.result()


def test_a_time_limit_that_is_over_before_the_task_goes_on_is_one() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(10)
        except TimeoutError:
            seen.append("late")
        await asyncio.sleep(0)
        seen.append("on")

    task = prompt(work)
    assert task is not None
    assert task.exception() is None
    assert seen == ["late", "on"]


@pytest.mark.parametrize("when", ["before it waits", "before it goes on", "as it goes on"])
def test_it_can_be_cancelled_whenever_and_knows_it(when: str) -> None:
    seen: list[str] = []
    tasks: list[asyncio.Task[Any] | None] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        if when == "before it waits":
            task.cancel()
        if when == "as it goes on":
            asyncio.get_running_loop().call_later(0.001, task.cancel)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    def meanwhile() -> None:
        if when == "before it goes on":
            assert tasks[0] is not None
            tasks[0].cancel()

    task = prompt(work, meanwhile)
    assert task is not None
    assert task.cancelled()
    assert seen == ["cancelled"]


def test_one_task_serves_until_somebody_waits() -> None:
    async def main() -> None:
        loop, standby = asyncio.get_running_loop(), Standby(asyncio.get_running_loop())
        tasks: list[Any] = []
        waiting: list[asyncio.Task[None]] = []

        async def work(seconds: float) -> None:
            tasks.append(asyncio.current_task())
            if seconds:
                await asyncio.sleep(seconds)

        def begin(seconds: float) -> None:
            assert standby.ready()
            begun = standby.begin(work(seconds))
            if begun is not None:

                async def rest() -> None:
                    await begun.rest()

                waiting.append(standby.go_on(begun, rest()))

        loop.call_soon(standby.ready)
        await asyncio.sleep(0.001)
        for seconds in (0, 0, 0.01):
            loop.call_soon(begin, seconds)
        await asyncio.sleep(0.001)
        assert not standby.ready()  # it waits for the work; another has yet to come
        await asyncio.sleep(0.001)
        loop.call_soon(begin, 0)
        await asyncio.gather(*waiting)
        await asyncio.sleep(0)
        assert tasks[0] is tasks[1] is tasks[2]
        assert tasks[3] is not tasks[0]

    asyncio.run(main())


def test_run_begins_at_once_has_a_task_for_what_waits_and_is_silent_of_what_was_cancelled() -> None:
    seen: list[str] = []

    async def work(name: str, seconds: float | None = None) -> None:
        seen.append(name)
        if seconds is not None:
            await asyncio.sleep(seconds)
            seen.append(f"{name} again")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        standby = Standby(asyncio.get_running_loop())
        first = standby.run(work("first"))  # nobody stands by yet
        assert first is not None
        assert seen == []
        await first
        assert standby.run(work("second")) is None
        assert standby.run(cancelled()) is None
        third = standby.run(work("third", 0))
        assert third is not None
        assert seen == ["first", "second", "third"]
        await third

    asyncio.run(main())
    assert seen == ["first", "second", "third", "third again"]
