"""Work in threads: a bounded pool whose work always ends with a result or an error that an event loop can carry."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mlpatterns.user_code import called

__all__ = ["Threads", "finished", "settled"]

T = TypeVar("T")


class Threads:
    """A pool of `count` threads."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns; ends when the work ends, even when the caller is cancelled.

        Raises:
            RuntimeError: `work` raised what would end an event loop, or what a future cannot hold.
        """
        # In a copy of the context, so that its log lines name the request.
        return await finished(self._pool.submit(contextvars.copy_context().run, called, work))

    def close(self) -> None:
        """Takes no more work, and does not wait for a thread that nothing can stop."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def finished(job: Future[T]) -> T:
    """The result of what a pool of threads or processes works on; ends when that ends, as `settled` does."""
    try:
        return await settled(asyncio.wrap_future(job), job.cancel)
    finally:
        del job  # as in `settled`


async def settled(future: asyncio.Future[T], on_cancel: Callable[[], object]) -> T:
    """Awaits `future` to its true end, even if the caller is cancelled meanwhile; only then is the caller's
    cancellation raised. What a thread is doing cannot be stopped, so whoever counts it must go on counting it.

    Args:
        on_cancel: called once when the caller is cancelled: the chance to make the work end sooner.
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
            future.exception()  # retrieved, or asyncio would log that nobody looked
        raise
    finally:
        # The error of the work holds this frame, and this frame would hold the future that holds the error: a circle
        # that keeps a request's body and tensors until the collector comes by, which is seldom.
        del future, on_cancel
