"""The sliding window of a circuit breaker: the last calls, or the calls of the last seconds, summed in O(1)."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

__all__ = ["CountWindow", "OutcomeWindow", "TimeWindow", "Totals"]


class Totals(Struct):
    """The counts of a window.

    Attributes:
        calls: the calls in the window.
        failed: the calls that failed because of the model.
        slow: the calls that took at least the threshold of a slow call.
    """

    calls: int = 0
    failed: int = 0
    slow: int = 0

    @property
    def failure_rate(self) -> float:
        """In percent; 0 without calls."""
        return 100.0 * self.failed / self.calls if self.calls else 0.0

    @property
    def slow_call_rate(self) -> float:
        """In percent; 0 without calls."""
        return 100.0 * self.slow / self.calls if self.calls else 0.0


class OutcomeWindow(Protocol):
    """A window of outcomes; `now` is in seconds of a clock that never goes back."""

    def add(self, failed: bool, slow: bool, now: float) -> Totals:
        """Counts a call that ended now; returns the new counts of the window."""
        ...

    def totals(self, now: float) -> Totals:
        """The counts at `now`; do not keep or change the object."""
        ...


class CountWindow:
    """The last `size` calls, in a ring buffer."""

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)  # for each call: 1 if it failed, 2 if it was slow, 3 if both
        self._next = 0
        self._totals = Totals()

    def add(self, failed: bool, slow: bool, now: float) -> Totals:
        ring, at, totals = self._ring, self._next, self._totals
        if totals.calls == len(ring):
            leaving = ring[at]
            totals.failed -= leaving & 1
            totals.slow -= leaving >> 1
        else:
            totals.calls += 1
        ring[at] = failed | slow << 1
        totals.failed += failed
        totals.slow += slow
        self._next = at + 1 if at + 1 < len(ring) else 0
        return totals

    def totals(self, now: float) -> Totals:
        return self._totals


class TimeWindow:
    """The calls of the last `size` seconds, in a ring buffer with one entry for each second, including the current."""

    def __init__(self, size: int) -> None:
        self._ring = [Totals() for _ in range(size)]
        self._second = 0  # the newest second in the ring
        self._totals = Totals()

    def add(self, failed: bool, slow: bool, now: float) -> Totals:
        totals = self.totals(now)
        for each in (self._ring[self._second % len(self._ring)], totals):
            each.calls += 1
            each.failed += failed
            each.slow += slow
        return totals

    def totals(self, now: float) -> Totals:
        second, ring, totals = int(now), self._ring, self._totals
        for passed in range(max(self._second + 1, second + 1 - len(ring)), second + 1):
            leaving = ring[passed % len(ring)]
            totals.calls -= leaving.calls
            totals.failed -= leaving.failed
            totals.slow -= leaving.slow
            leaving.calls = leaving.failed = leaving.slow = 0
        self._second = max(self._second, second)
        return totals
