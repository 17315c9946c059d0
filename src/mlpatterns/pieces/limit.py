"""Limit: limits how many requests run at once, and how many may wait."""

from __future__ import annotations

import asyncio
from collections import deque

from mlpatterns.base import Wrapper
from mlpatterns.errors import DeadlineExceeded, Overloaded, Unavailable
from mlpatterns.interfaces import Clock
from mlpatterns.pieces import piece
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.user_errors import CompositionError

__all__ = ["Limit"]

Waiter = asyncio.Future[None]


@piece(lambda inner, _: Limit(inner, max_concurrency=2, max_queue=1000))
class Limit(Wrapper):
    """Limits the number of requests that run in `predictor` at once, in this process.

    A request holds its slot until its work has really ended: if a caller is cancelled while a thread still computes,
    the slot stays taken. Waiting requests are served in order.

    Args:
        predictor: the predictor that is protected.
        max_concurrency: the number of requests that run at once, at least 1.
        max_queue: the number of requests that may wait; further requests are refused.
        retry_after: the seconds after which a refused caller should try again.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        Overloaded: all slots are taken and the queue is full.
        DeadlineExceeded: the deadline passed while the request waited.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        max_concurrency: int,
        max_queue: int = 0,
        retry_after: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        if max_concurrency < 1 or max_queue < 0:
            raise CompositionError("a Limit needs a max_concurrency of at least 1 and a max_queue of at least 0")
        self.max_concurrency, self.max_queue, self.retry_after = max_concurrency, max_queue, retry_after
        self._taken = 0
        self._waiting: deque[Waiter] = deque()

    @property
    def busy(self) -> bool:
        """Whether a request runs or waits."""
        return self._taken > 0 or bool(self._waiting)

    async def start(self, runtime: Runtime) -> None:
        self._clock: Clock = runtime.clock
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._waiting = deque()
        metrics = runtime.metrics
        self._inside = metrics.gauge("mlpatterns_limit_in_flight", "Requests inside a limit.", piece=runtime.path)
        self._queued = metrics.gauge("mlpatterns_limit_queued", "Requests waiting for a limit.", piece=runtime.path)
        self._refused = metrics.counter(
            "mlpatterns_limit_refused_total", "Requests a limit refused.", piece=runtime.path
        )
        self._waited = metrics.counter(
            "mlpatterns_limit_queued_seconds_total", "Time that requests waited for a limit.", piece=runtime.path
        )

    async def stop(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Unavailable("the server is stopping", retry_after=self.retry_after))

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if self._taken < self.max_concurrency:
            self._taken += 1
            self._inside.inc()
        else:
            await self._wait(request)
        try:
            return await self.inner.predict(request)
        finally:
            self._leave()

    async def _wait(self, request: InferenceRequest) -> None:
        """Returns when the request has a slot. If it raises, the request has none."""
        if len(self._waiting) >= self.max_queue:
            self._refused.inc()
            raise Overloaded(
                f"{self.max_concurrency} requests are being answered and {self.max_queue} are waiting; try again later",
                retry_after=self.retry_after,
            )
        began = self._clock.monotonic()
        left = None if request.deadline is None else request.deadline - began
        if left is not None and left <= 0:
            raise DeadlineExceeded
        waiter: Waiter = self._loop.create_future()
        # The loop's timer, because a task that times the waiter would cost more than the wait.
        timer = None if left is None else self._loop.call_later(left, _expire, waiter)
        self._waiting.append(waiter)
        self._queued.inc()
        try:
            await waiter
        except BaseException:
            self._give_up(waiter)
            raise
        finally:
            self._waited.inc(self._clock.monotonic() - began)
            if timer is not None:
                timer.cancel()

    def _give_up(self, waiter: Waiter) -> None:
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._leave()  # it got a slot just when it was cancelled: pass the slot on
        elif waiter in self._waiting:
            self._waiting.remove(waiter)
            self._queued.inc(-1.0)

    def _leave(self) -> None:
        """Gives the slot to the first request that still waits, or frees it."""
        while self._waiting:
            waiter = self._waiting.popleft()
            self._queued.inc(-1.0)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken -= 1
        self._inside.inc(-1.0)


def _expire(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_exception(DeadlineExceeded("the deadline passed while the request waited for its turn"))
