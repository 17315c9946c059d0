"""The state machine of a circuit breaker, without clock, tasks or model, with the states and names of resilience4j."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from mlpatterns.pieces.circuit_breaker.window import CountWindow, OutcomeWindow, TimeWindow, Totals
from mlpatterns.user_errors import CompositionError

__all__ = ["BreakerMachine", "BreakerOptions", "BreakerState", "Permit"]


class BreakerState(StrEnum):
    """What a breaker does with calls.

    CLOSED lets calls through and watches their outcomes. OPEN refuses calls until the wait is over. HALF_OPEN lets a
    few calls through to test the model. DISABLED lets all calls through and counts none. METRICS_ONLY counts calls and
    never opens. FORCED_OPEN refuses all calls. The last three stay until a command changes them.
    """

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    DISABLED = "DISABLED"
    FORCED_OPEN = "FORCED_OPEN"
    METRICS_ONLY = "METRICS_ONLY"


CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
DISABLED, FORCED_OPEN, METRICS_ONLY = BreakerState.DISABLED, BreakerState.FORCED_OPEN, BreakerState.METRICS_ONLY
REFUSES = (OPEN, FORCED_OPEN)

Permit = int  # the number of the state period in which a call was let through


class BreakerOptions(Struct, frozen=True, kw_only=True):
    """The options of CircuitBreaker, checked.

    Raises:
        CompositionError: at construction: an option is out of its range.
    """

    failure_rate_threshold: float
    slow_call_rate_threshold: float
    slow_call_duration_threshold: float
    sliding_window_type: Literal["COUNT_BASED", "TIME_BASED"]
    sliding_window_size: int
    minimum_number_of_calls: int
    wait_duration_in_open_state: float
    permitted_number_of_calls_in_half_open_state: int
    max_wait_duration_in_half_open_state: float

    def __post_init__(self) -> None:
        for name in ("failure_rate_threshold", "slow_call_rate_threshold"):
            if not 0 < getattr(self, name) <= 100:
                raise CompositionError(f"{name} must be more than 0 and at most 100 percent")
        for name in ("slow_call_duration_threshold", "wait_duration_in_open_state"):
            if not getattr(self, name) > 0:
                raise CompositionError(f"{name} must be more than 0 seconds")
        for name in ("sliding_window_size", "minimum_number_of_calls", "permitted_number_of_calls_in_half_open_state"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise CompositionError(f"{name} must be at least 1 and at most 1000000")
        if not self.max_wait_duration_in_half_open_state >= 0:
            raise CompositionError("max_wait_duration_in_half_open_state must be at least 0 seconds; 0 means no limit")
        if self.sliding_window_type not in ("COUNT_BASED", "TIME_BASED"):
            raise CompositionError("sliding_window_type must be 'COUNT_BASED' or 'TIME_BASED'")

    def window(self) -> OutcomeWindow:
        """An empty window of this type and size."""
        kind = CountWindow if self.sliding_window_type == "COUNT_BASED" else TimeWindow
        return kind(self.sliding_window_size)

    @property
    def least(self) -> int:
        """The number of calls in a window before its rates are checked; at most the size of a count-based window."""
        if self.sliding_window_type == "COUNT_BASED":
            return min(self.minimum_number_of_calls, self.sliding_window_size)
        return self.minimum_number_of_calls


class BreakerMachine:
    """Decides which calls go through; see BreakerState.

    Each change of state begins a period with an empty window. A call counts only in the period that let it through,
    because a call that began before the breaker opened does not show whether the model has recovered.

    Args:
        changed: a function that is called at each change, with the old and the new state.

    Attributes:
        state: the current state. OPEN ends at the first call after the wait, not at a time.
    """

    def __init__(
        self, options: BreakerOptions, changed: Callable[[BreakerState, BreakerState], None] = lambda old, new: None
    ) -> None:
        self.options, self.state = options, CLOSED
        self._changed = changed
        self._period: Permit = 0
        self._window = options.window()
        self._since = 0.0
        self._permits = 0  # permits that HALF_OPEN can still give

    def acquire(self, now: float) -> Permit | None:
        """A permit for one call, or None to refuse it; return each permit with `record` or `release`."""
        state = self.state
        if state is CLOSED:
            return self._period
        if state is OPEN and now - self._since >= self.options.wait_duration_in_open_state:
            self._to(HALF_OPEN, now)
        elif state is HALF_OPEN and self._half_open_too_long(now):
            self._to(OPEN, now)
        if self.state in REFUSES:
            return None
        if self.state is HALF_OPEN:
            if not self._permits:
                return None
            self._permits -= 1
        return self._period

    def release(self, permit: Permit) -> None:
        """Takes back the permit of a call whose outcome does not count."""
        if permit == self._period and self.state is HALF_OPEN:
            self._permits += 1

    def record(self, permit: Permit, *, failed: bool, slow: bool, now: float) -> None:
        """Counts a call that has ended, and changes the state if the rates of the window require it."""
        if permit != self._period or self.state is DISABLED:
            return
        totals = self._window.add(failed, slow, now)
        if self.state is METRICS_ONLY:
            return
        options = self.options
        if self.state is HALF_OPEN:
            if totals.calls >= options.permitted_number_of_calls_in_half_open_state:
                self._to(OPEN if self._too_many(totals) else CLOSED, now)
        elif (totals.failed or totals.slow) and totals.calls >= options.least and self._too_many(totals):
            self._to(OPEN, now)

    def force(self, state: BreakerState, now: float) -> None:
        """Changes to `state` with an empty window, even if it has this state already."""
        self._to(state, now)

    def totals(self, now: float) -> Totals:
        """The counts of the window of this period."""
        return self._window.totals(now)

    def seconds_left(self, now: float) -> float | None:
        """Seconds until calls may be let through; None if only a command ends the state."""
        if self.state is FORCED_OPEN:
            return None
        if self.state is OPEN:
            return max(0.0, self._since + self.options.wait_duration_in_open_state - now)
        return 0.0

    def _half_open_too_long(self, now: float) -> bool:
        most = self.options.max_wait_duration_in_half_open_state
        return most > 0 and now - self._since >= most

    def _too_many(self, totals: Totals) -> bool:
        options = self.options
        return (
            totals.failure_rate >= options.failure_rate_threshold
            or totals.slow_call_rate >= options.slow_call_rate_threshold
        )

    def _to(self, state: BreakerState, now: float) -> None:
        old, self.state = self.state, state
        self._period += 1
        self._since = now
        if state is HALF_OPEN:
            self._permits = self.options.permitted_number_of_calls_in_half_open_state
            self._window = CountWindow(self._permits)
        else:
            self._window = self.options.window()
        self._changed(old, state)
