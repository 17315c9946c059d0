"""offload: results, errors and cancellation of work in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mlpatterns.runtime import AppRuntime, running, settled
from mlpatterns.settings import Settings

SETTINGS = Settings(threads=1, control="memory://")


def run(work: Callable[[AppRuntime], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with running(settings=SETTINGS) as runtime:
            await work(runtime)

    asyncio.run(main())


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


@pytest.mark.parametrize("raised", [StopIteration(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_would_end_a_loop_or_cannot_be_held_comes_back_as_an_error_and_the_thread_works_on(
    raised: BaseException,
) -> None:
    def fail() -> None:
        raise raised

    async def work(runtime: AppRuntime) -> None:
        async with asyncio.timeout(10):
            with pytest.raises(RuntimeError, match=type(raised).__name__):
                await runtime.offload(fail)
            assert await runtime.offload(lambda: 1) == 1

    run(work)


def test_the_servers_own_decoding_does_not_wait_for_user_code() -> None:
    began, may_end = threading.Event(), threading.Event()

    def thread() -> None:
        began.set()
        may_end.wait(5)

    async def work(runtime: AppRuntime) -> None:
        busy = asyncio.create_task(runtime.offload(thread))  # the one thread of these settings
        while not began.is_set():
            await asyncio.sleep(0)
        assert await runtime.offload_codec(lambda: "decoded") == "decoded"
        assert not busy.done()
        may_end.set()
        await busy

    run(work)
