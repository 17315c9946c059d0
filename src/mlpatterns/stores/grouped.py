"""A thread that does what many callers of one event loop ask for, all that waits at once: the group of a commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from copy import copy
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from mlpatterns.errors import Unavailable

__all__ = ["GroupThread"]

MOST = 1024  # that are done at once


class Asked(NamedTuple):
    what: Any
    future: asyncio.Future[Any]
    unwanted: Callable[[Any], None] | None


class GroupThread:
    """Calls `work` with what was asked for, in order; it returns as many results, each a value or the exception that
    its caller gets. Where the store is Unavailable all of them get that. If `work` raises anything else, which must
    leave nothing done, each is done by itself, so that one that cannot be done harms no other.

    Args:
        close: called in the thread at its end.
    """

    def __init__(self, name: str, work: Callable[[Sequence[Any]], Sequence[Any]], close: Callable[[], None]) -> None:
        self._name, self._work, self._close = name, work, close
        self._asked: SimpleQueue[Asked | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._open = 0  # asked for and not delivered
        self._settled: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    async def ask(self, what: Any, unwanted: Callable[[Any], None] | None = None) -> Any:
        """The result of `what`.

        Args:
            unwanted: called with the result if the caller was cancelled meanwhile: it is done all the same.

        Raises:
            Unavailable: it is closed.
        """
        if self._closed:
            raise Unavailable("the store is closed")
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future = self._loop.create_future()
        self._open += 1
        self._asked.put(Asked(what, future, unwanted))
        return await future

    async def settled(self) -> None:
        """Returns when all that was asked for is done and delivered."""
        if self._open:
            self._settled = self._settled or self._loop.create_future()
            await asyncio.shield(self._settled)

    async def close(self) -> None:
        """Returns when all that was asked for is done; then nothing more can be."""
        self._closed = True
        if self._thread is not None:
            self._asked.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going = True
        while going:
            batch = [self._asked.get()]
            while len(batch) < MOST:
                try:
                    batch.append(self._asked.get_nowait())
                except Empty:
                    break
            going = None not in batch
            asked = [each for each in batch if each is not None]
            if asked:
                results = self._done([each.what for each in asked])
                try:
                    self._loop.call_soon_threadsafe(self._deliver, asked, results)
                except RuntimeError:
                    break  # the loop has closed: nobody waits
        self._close()

    def _done(self, batch: Sequence[Any]) -> Sequence[Any]:
        try:
            return self._work(batch)
        except Unavailable as error:
            return [copy(error) for _ in batch]  # each its own, or tracebacks would gather on one
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [self._done([each])[0] for each in batch]  # one of them is at fault; nothing of it was done

    def _deliver(self, asked: Sequence[Asked], results: Sequence[Any]) -> None:
        for each, result in zip(asked, results, strict=True):
            if each.future.cancelled():
                if each.unwanted is not None and not isinstance(result, Exception):
                    each.unwanted(result)
            elif isinstance(result, Exception):
                each.future.set_exception(result)
            else:
                each.future.set_result(result)
        self._open -= len(asked)
        if not self._open and self._settled is not None:
            self._settled.set_result(None)
            self._settled = None
