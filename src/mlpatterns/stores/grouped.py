"""A thread that executes requests of many callers of one event loop in groups of all waiting requests: group commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from copy import copy
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from mlpatterns.errors import Unavailable

__all__ = ["GroupThread"]

MOST = 1024  # requests in one group


class PendingCall(NamedTuple):
    what: Any
    future: asyncio.Future[Any]
    unwanted: Callable[[Any], None] | None


class GroupThread:
    """A thread that executes groups of requests.

    Args:
        name: the name of the thread.
        work: called with a group of requests in order. It returns one result for each: a value, or the exception for
            the caller. If it raises Unavailable, all callers get that error. If it raises any other exception, it must
            have changed nothing; then each request is executed alone, so that a bad request does not affect others.
        close: called in the thread when it ends.
    """

    def __init__(self, name: str, work: Callable[[Sequence[Any]], Sequence[Any]], close: Callable[[], None]) -> None:
        self._name, self._work, self._close = name, work, close
        self._pending: SimpleQueue[PendingCall | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._open = 0  # requests whose results are not delivered yet
        self._settled: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    async def submit(self, what: Any, unwanted: Callable[[Any], None] | None = None) -> Any:
        """Returns the result of the request `what`.

        Args:
            unwanted: called with the result if the caller was cancelled; the request is executed anyway.

        Raises:
            Unavailable: the thread is closed.
        """
        if self._closed:
            raise Unavailable("the store is closed")
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future = self._loop.create_future()
        self._open += 1
        self._pending.put(PendingCall(what, future, unwanted))
        return await future

    async def settled(self) -> None:
        """Waits until all requests are executed and their results are delivered."""
        if self._open:
            self._settled = self._settled or self._loop.create_future()
            await asyncio.shield(self._settled)

    async def close(self) -> None:
        """Waits until all requests are executed. Later requests fail."""
        self._closed = True
        if self._thread is not None:
            self._pending.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going = True
        while going:
            batch = [self._pending.get()]
            while len(batch) < MOST:
                try:
                    batch.append(self._pending.get_nowait())
                except Empty:
                    break
            going = None not in batch
            pending = [each for each in batch if each is not None]
            if pending:
                results = self._done([each.what for each in pending])
                try:
                    self._loop.call_soon_threadsafe(self._deliver, pending, results)
                except RuntimeError:
                    break  # the loop has closed, so no caller waits
        self._close()

    def _done(self, batch: Sequence[Any]) -> Sequence[Any]:
        try:
            return self._work(batch)
        except Unavailable as error:
            return [copy(error) for _ in batch]  # a copy for each caller, so that tracebacks do not accumulate
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [self._done([each])[0] for each in batch]  # one request failed, and nothing of the group was done

    def _deliver(self, pending: Sequence[PendingCall], results: Sequence[Any]) -> None:
        for each, result in zip(pending, results, strict=True):
            if each.future.cancelled():
                if each.unwanted is not None and not isinstance(result, Exception):
                    each.unwanted(result)
            elif isinstance(result, Exception):
                each.future.set_exception(result)
            else:
                each.future.set_result(result)
        self._open -= len(pending)
        if not self._open and self._settled is not None:
            self._settled.set_result(None)
            self._settled = None
