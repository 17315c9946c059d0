"""A clock for tests: its time changes only when the test advances it."""

from __future__ import annotations

import asyncio
import heapq
import itertools

__all__ = ["FakeClock"]


class FakeClock:
    """A clock that changes only when `advance` is called; see predictor.Clock.

    Args:
        monotonic, time: its first readings, in seconds; `time` counts from 1970.
    """

    def __init__(self, monotonic: float = 1000.0, time: float = 1_700_000_000.0) -> None:
        self._now, self._epoch = monotonic, time - monotonic
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._epoch + self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), sleeper))
        await sleeper

    @property
    def sleepers(self) -> int:
        """How many tasks sleep now."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Moves the clock by `seconds`. It wakes sleeping tasks in order, each at its own time, and lets them run."""
        await _let_run()
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, sleeper = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not sleeper.done():
                sleeper.set_result(None)
                await _let_run()
        self._now = end


async def _let_run() -> None:
    for _ in range(10):  # a woken task may await several futures before it sleeps again
        await asyncio.sleep(0)
