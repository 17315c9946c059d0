"""A bounded thread pool. Work in it always ends with a result or with an error that a future can hold."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mlpatterns.user_code import call_user_code

__all__ = ["Threads", "finished", "settled"]

T = TypeVar("T")


class Threads:
    """A pool of `count` threads."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` in a thread and returns its result. It waits for the work even if the caller is cancelled.

        Raises:
            RuntimeError: `work` raised an exception that would end an event loop, or that a future cannot hold.
        """
        # In a copy of the context, so that its log lines name the request.
        return await finished(self._pool.submit(contextvars.copy_context().run, call_user_code, work))

    def close(self) -> None:
        """Accepts no more work, and cancels queued work. It does not wait for running threads: none can be stopped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def finished(job: Future[T]) -> T:
    """The result of a job of a thread pool or process pool. Like `settled`, it waits for the job if it is cancelled."""
    try:
        return await settled(asyncio.wrap_future(job), job.cancel)
    finally:
        del job  # as in `settled`


async def settled(future: asyncio.Future[T], on_cancel: Callable[[], object]) -> T:
    """Awaits `future` until it is done. If the caller is cancelled meanwhile, CancelledError is raised after that.
    A running thread cannot be stopped, so the code that counts running threads must count it until it ends.

    Args:
        on_cancel: called once when the caller is cancelled; it may make the work end sooner.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.done():
            on_cancel()
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue  # a second cancellation changes nothing: the first is raised below
        if not future.cancelled():
            future.exception()  # retrieved, or asyncio would log it as never retrieved
        raise
    finally:
        # The error of the work references this frame, and this frame would reference the future that holds the error.
        # This reference cycle would keep the request's body and tensors until the garbage collector runs.
        del future, on_cancel
