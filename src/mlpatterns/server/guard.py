"""The guard watches the deadline and the client's connection while a handler works.

For work that never waits, it only reads the clock. It sets a timer when the work first waits. When the timer fires, the
guard sends the refusal at once and cancels the work. The client does not wait for the work to end, but `guarded` raises
only after it has ended, so that running requests are counted correctly.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from time import monotonic
from typing import Any, Protocol, TypeVar

from mlpatterns.errors import DeadlineExceeded

__all__ = ["Guard", "GuardedRequest", "WorkAbandoned", "guarded"]

T = TypeVar("T")

WATCH_AFTER = 0.01  # seconds that work must wait before a task checks whether the client is still connected


class WorkAbandoned(Exception):
    """The work was abandoned, and no answer may be sent any more. `reason` is ``deadline`` or ``client``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GuardedRequest(Protocol):
    """The part of a request that the guard uses.

    Attributes:
        deadline: monotonic seconds.
        guard: None until the work of the request first waits.
    """

    __slots__ = ("deadline", "guard")

    deadline: float
    guard: Guard | None

    async def refuse(self) -> None:
        """Sends the error answer for a passed deadline."""
        ...

    def reading(self) -> bool:
        """Whether the request is still arriving. `gone` must not be called until it has arrived."""
        ...

    async def gone(self) -> None:
        """Returns when the client has left."""
        ...


@types.coroutine
def guarded(watched: GuardedRequest, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Runs `work` in the current task.

    Raises:
        DeadlineExceeded: the work ended after the deadline, before the guard could abandon it.
        WorkAbandoned: the deadline passed or the client left while the work waited. The work has already ended.
    """
    try:
        waiting = work.send(None)
    except StopIteration as done:
        if monotonic() > watched.deadline:
            raise DeadlineExceeded from None
        return done.value  # type: ignore[no-any-return]
    guard = watched.guard = Guard(watched, waiting)
    del waiting  # see the end of `wait`
    return (yield from guard.wait(work))


class Guard:
    """Watches one request after its work has first waited."""

    __slots__ = ("_ended", "_refusing", "_task", "_timer", "_waiting", "_watch", "_watched", "_watcher")

    _timer: asyncio.TimerHandle

    def __init__(self, watched: GuardedRequest, waiting: Any) -> None:
        self._watched, self._waiting = watched, waiting
        self._refusing: asyncio.Task[None] | None = None
        self._ended: str | None = None

    async def refused(self) -> None:
        """Returns when the refusal has been sent, or at once if there is none."""
        if self._refusing is not None:
            await self._refusing

    def rearm(self) -> None:
        """Sets the timer again after the deadline of the request has changed."""
        self._timer.cancel()
        self._timer = self._call_at(self._watched.deadline)

    def wait(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Runs the rest of `work`, as a task runs a coroutine, with the timer and the connection watch set."""
        waiting, self._waiting = self._waiting, None
        self._arm()
        try:
            while True:
                try:
                    yield waiting
                except BaseException as error:
                    waiting = work.throw(error)
                else:
                    waiting = work.send(None)
        except StopIteration as done:
            self._give_up_if_ended()
            if monotonic() > self._watched.deadline:  # the deadline has passed, but the timer has not fired yet
                raise DeadlineExceeded from None
            return done.value  # type: ignore[no-any-return]
        except BaseException:
            self._give_up_if_ended()  # the client already has its refusal or has left, so the error does not matter
            raise
        finally:
            # A failed future refers to its error, and the error refers to this frame. If this frame referred to the
            # future, the request's body and tensors would stay in memory until the garbage collector runs.
            del waiting
            self._disarm()

    def _give_up_if_ended(self) -> None:
        if self._ended is not None:
            self._task.uncancel()
            raise WorkAbandoned(self._ended) from None

    def _arm(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        self._timer = self._call_at(self._watched.deadline)
        self._watch = task.get_loop().call_later(WATCH_AFTER, self._look)

    def _disarm(self) -> None:
        self._timer.cancel()
        self._watch.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _call_at(self, deadline: float) -> asyncio.TimerHandle:
        return self._task.get_loop().call_later(max(0.0, deadline - monotonic()), self._expire)

    def _expire(self) -> None:
        if self._ended is None:
            self._refusing = asyncio.ensure_future(self._watched.refuse())  # keeps a reference, so that it is not freed
            self._end("deadline")

    def _look(self) -> None:
        if self._watched.reading():
            self._watch = self._task.get_loop().call_later(WATCH_AFTER, self._look)
            return
        self._watcher = asyncio.ensure_future(self._watched.gone())
        self._watcher.add_done_callback(self._left)

    def _left(self, watcher: asyncio.Future[None]) -> None:
        if self._ended is None and not watcher.cancelled():
            self._end("client")

    def _end(self, reason: str) -> None:
        self._ended = reason
        self._task.cancel()
