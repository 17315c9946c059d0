"""Single flight: work in progress by key, which runs once for all callers who want its result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from mlpatterns.context import Note
from mlpatterns.errors import DeadlineExceeded, ErrorCode, InternalError, MlpatternsError, PredictionError, Unavailable
from mlpatterns.interfaces import Clock
from mlpatterns.pieces.calls import all_ended
from mlpatterns.user_code import is_cancellation

__all__ = ["Flight", "Flights"]

log = logging.getLogger("mlpatterns")

T = TypeVar("T")


class Failed:
    """The error in place of a result.

    Each waiting caller gets a copy, because every raise extends the traceback of the error object.
    """

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = _another(error)


class Flight(Generic[T]):
    """One piece of work.

    Attributes:
        deadline: the latest deadline of the waiting callers; None if one of them has none. Work that passes the
            deadline on reads it when it begins. If the work times out, a caller with a later deadline starts it again.
        notes: the notes of the work, for all callers, whether it succeeds or fails.
    """

    __slots__ = ("deadline", "notes", "task", "waiters", "work_deadline")

    task: asyncio.Task[None]

    def __init__(self, deadline: float | None) -> None:
        self.deadline = self.work_deadline = deadline
        self.notes: list[Note] = []
        self.waiters: set[asyncio.Future[T | Failed]] = set()

    def take_deadline(self) -> float | None:
        """The deadline for work that begins now."""
        self.work_deadline = self.deadline
        return self.work_deadline

    def extend(self, deadline: float | None) -> None:
        if self.deadline is not None and (deadline is None or deadline > self.deadline):
            self.deadline = deadline

    def outlived_by(self, deadline: float | None) -> bool:
        """Whether a caller with this deadline has more time than the work got."""
        return self.work_deadline is not None and (deadline is None or deadline > self.work_deadline)


class Flights(Generic[T]):
    """All work in progress, by key.

    Each piece of work runs in its own task, so a caller who is cancelled or runs out of time does not end it for the
    others. When the last caller leaves, the work is cancelled, and this caller waits until the work has really ended,
    so that the work is counted correctly.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[str, Flight[T]] = {}
        self._stopping = False

    def __len__(self) -> int:
        return len(self._under_way)

    async def ask(
        self,
        key: str,
        work: Callable[[Flight[T]], Coroutine[Any, Any, T]],
        deadline: float | None,
        notes: list[Note] | None = None,
    ) -> tuple[T, bool]:
        """The result of the work for `key`, and whether it was already in progress. If it was not, `work` begins.

        Args:
            key: equal for callers who can share a result.
            work: makes the result; it gets the flight, which has the deadline and the notes.
            deadline: the caller's own, in seconds of the monotonic clock, or None.
            notes: the list that gets the notes of the work.

        Raises:
            DeadlineExceeded: the deadline of this caller has passed.
            Exception: the error of the work, as a new object for each caller.
        """
        while True:
            left = None if deadline is None else deadline - self._clock.monotonic()
            if left is not None and left <= 0:
                raise DeadlineExceeded
            flight = self._under_way.get(key)
            joined = flight is not None
            if flight is None:
                flight = self._begin(key, work, deadline)
            else:
                flight.extend(deadline)
            outcome = await self._landing(key, flight, left)
            if notes is not None:
                notes.extend(flight.notes)
            if not isinstance(outcome, Failed):
                return outcome, joined
            if not (_is_late(outcome.error) and flight.outlived_by(deadline)):
                raise _another(outcome.error)

    async def stop(self) -> None:
        """Cancels all work; waiting callers get UNAVAILABLE."""
        self._stopping = True
        flights = dict(self._under_way)
        for flight in flights.values():
            flight.task.cancel()
        await all_ended([flight.task for flight in flights.values()])
        for key, flight in flights.items():
            self._land(key, flight, self._cancelled())  # a task cancelled before its first step cannot do it

    def _begin(
        self, key: str, work: Callable[[Flight[T]], Coroutine[Any, Any, T]], deadline: float | None
    ) -> Flight[T]:
        flight: Flight[T] = Flight(deadline)
        self._under_way[key] = flight
        flight.task = self._loop.create_task(self._fly(key, flight, work))
        return flight

    async def _fly(self, key: str, flight: Flight[T], work: Callable[[Flight[T]], Coroutine[Any, Any, T]]) -> None:
        outcome: T | Failed
        try:
            outcome = await work(flight)
        except BaseException as error:
            if is_cancellation(error):
                self._land(key, flight, self._cancelled())
                raise
            if isinstance(error, asyncio.CancelledError):
                outcome = self._cancelled()
            else:
                if not isinstance(error, MlpatternsError):
                    log.exception("the work that %d callers waited for failed", len(flight.waiters))
                outcome = Failed(error if isinstance(error, Exception) else InternalError("the work failed"))
        self._land(key, flight, outcome)

    def _land(self, key: str, flight: Flight[T], outcome: T | Failed) -> None:
        if self._under_way.get(key) is flight:
            del self._under_way[key]
        for waiter in flight.waiters:
            if not waiter.done():
                waiter.set_result(outcome)
        flight.waiters.clear()

    def _cancelled(self) -> Failed:
        """The error for the callers of work that was cancelled."""
        if self._stopping:
            return Failed(Unavailable("the server is stopping", retry_after=1))
        return Failed(InternalError("the work cancelled itself"))

    async def _landing(self, key: str, flight: Flight[T], left: float | None) -> T | Failed:
        waiter: asyncio.Future[T | Failed] = self._loop.create_future()
        # The loop's timer, because a task that times the waiter would cost more than the wait.
        timer = None if left is None else self._loop.call_later(left, _expire, waiter)
        flight.waiters.add(waiter)
        try:
            return await waiter
        except BaseException:
            flight.waiters.discard(waiter)
            if not flight.waiters and not flight.task.done():
                await self._abandon(key, flight)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            del waiter  # it may refer to the error, whose traceback refers to this frame: breaks the reference cycle

    async def _abandon(self, key: str, flight: Flight[T]) -> None:
        if self._under_way.get(key) is flight:
            del self._under_way[key]  # first, so that no caller joins work that is about to end
        flight.task.cancel()
        if await all_ended([flight.task]):
            raise asyncio.CancelledError


def _expire(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(DeadlineExceeded())


def _is_late(error: BaseException) -> bool:
    return isinstance(error, PredictionError) and error.code is ErrorCode.DEADLINE


def _another(error: BaseException) -> BaseException:
    """A copy of the error, because every raise extends the traceback of the error object."""
    made = type(error).__new__(type(error), *error.args)  # a subclass may have another __init__
    made.__dict__.update(error.__dict__)
    return made
