"""The state machine of a circuit breaker, by a model of it that keeps whole lists and by examples."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from mlpatterns.pieces.circuit_breaker.state import BreakerMachine, BreakerOptions, BreakerState, Permit
from mlpatterns.user_errors import CompositionError

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
DISABLED, FORCED_OPEN, METRICS_ONLY = BreakerState.DISABLED, BreakerState.FORCED_OPEN, BreakerState.METRICS_ONLY
WAIT = 10.0


def options(**changed: Any) -> BreakerOptions:
    usual: dict[str, Any] = {
        "failure_rate_threshold": 50.0,
        "slow_call_rate_threshold": 100.0,
        "slow_call_duration_threshold": 1.0,
        "sliding_window_type": "COUNT_BASED",
        "sliding_window_size": 4,
        "minimum_number_of_calls": 4,
        "wait_duration_in_open_state": WAIT,
        "permitted_number_of_calls_in_half_open_state": 2,
        "max_wait_duration_in_half_open_state": 0.0,
    }
    return BreakerOptions(**(usual | changed))


class Machine(RuleBasedStateMachine):
    """Against the same rules over plain lists: who was let through when, and what counts since the last change."""

    permits = Bundle("permits")

    @initialize(
        size=st.integers(1, 6), least=st.integers(1, 8), failures=st.sampled_from([1.0, 34.0, 50.0, 100.0]),
        slows=st.sampled_from([25.0, 100.0]), permitted=st.integers(1, 3), most=st.sampled_from([0.0, 5.0]),
    )  # fmt: skip
    def begin(self, size: int, least: int, failures: float, slows: float, permitted: int, most: float) -> None:
        self.options = options(
            sliding_window_size=size, minimum_number_of_calls=least, failure_rate_threshold=failures,
            slow_call_rate_threshold=slows, permitted_number_of_calls_in_half_open_state=permitted,
            max_wait_duration_in_half_open_state=most,
        )  # fmt: skip
        self.told: list[tuple[BreakerState, BreakerState]] = []
        self.machine = BreakerMachine(self.options, lambda old, new: self.told.append((old, new)))
        self.now, self.state, self.since = 100.0, CLOSED, 100.0
        self.counted: list[tuple[bool, bool]] = []
        self.inside: set[Permit] = set()
        self.outstanding: dict[int, bool] = {}  # permit's own number -> whether it is of this period
        self.serial = 0

    def change(self, state: BreakerState) -> None:
        self.state, self.since, self.counted = state, self.now, []
        self.outstanding = dict.fromkeys(self.outstanding, False)

    @rule(seconds=st.sampled_from([0.5, 4.0, 5.0, 10.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def acquire(self) -> tuple[int, Permit | None]:
        most = self.options.max_wait_duration_in_half_open_state
        if self.state is OPEN and self.now - self.since >= WAIT:
            self.change(HALF_OPEN)
        elif self.state is HALF_OPEN and most and self.now - self.since >= most:
            self.change(OPEN)
        taken = sum(self.outstanding.values()) + len(self.counted)
        full = taken >= self.options.permitted_number_of_calls_in_half_open_state
        refused = self.state in (OPEN, FORCED_OPEN) or (self.state is HALF_OPEN and full)
        permit = self.machine.acquire(self.now)
        assert (permit is None) == refused
        self.serial += 1
        if permit is not None:
            self.outstanding[self.serial] = True
        return self.serial, permit

    @rule(call=consumes(permits), failed=st.booleans(), slow=st.booleans())
    def record(self, call: tuple[int, Permit | None], failed: bool, slow: bool) -> None:
        number, permit = call
        if permit is None:
            return
        self.machine.record(permit, failed=failed, slow=slow, now=self.now)
        if not self.outstanding.pop(number) or self.state is DISABLED:
            return
        self.counted.append((failed, slow))
        half = self.state is HALF_OPEN
        permitted = self.options.permitted_number_of_calls_in_half_open_state
        size = permitted if half else self.options.sliding_window_size
        least = permitted if half else min(size, self.options.minimum_number_of_calls)
        window = self.counted[-size:]
        bad = any(
            100.0 * sum(call[index] for call in window) / len(window) >= threshold
            for index, threshold in enumerate(
                (self.options.failure_rate_threshold, self.options.slow_call_rate_threshold)
            )
        )
        if self.state in (CLOSED, HALF_OPEN) and len(window) >= least:
            if bad:
                self.change(OPEN)
            elif half:
                self.change(CLOSED)

    @rule(call=consumes(permits))
    def release(self, call: tuple[int, Permit | None]) -> None:
        number, permit = call
        if permit is not None:
            self.machine.release(permit)
            self.outstanding.pop(number)

    @rule(state=st.sampled_from([CLOSED, DISABLED, FORCED_OPEN, METRICS_ONLY]))
    def force(self, state: BreakerState) -> None:
        self.machine.force(state, self.now)
        self.change(state)

    @invariant()
    def it_is_as_expected(self) -> None:
        if not hasattr(self, "machine"):
            return
        assert self.machine.state is self.state
        size = self.options.sliding_window_size
        kept = self.counted if self.state is HALF_OPEN else self.counted[-size:]
        totals = self.machine.totals(self.now)
        assert (totals.calls, totals.failed, totals.slow) == (
            len(kept), sum(failed for failed, _ in kept), sum(slow for _, slow in kept)
        )  # fmt: skip
        assert all(old is not new or old not in (OPEN, HALF_OPEN) for old, new in self.told)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def opened(machine: BreakerMachine, now: float) -> None:
    for _ in range(4):
        permit = machine.acquire(now)
        assert permit is not None
        machine.record(permit, failed=True, slow=False, now=now)
    assert machine.state is OPEN


def test_a_call_from_before_it_opened_says_nothing_about_whether_the_model_has_recovered() -> None:
    machine = BreakerMachine(options())
    late = machine.acquire(0.0)
    assert late is not None
    opened(machine, 0.0)
    tried = machine.acquire(WAIT)
    machine.record(late, failed=True, slow=False, now=WAIT)
    assert tried is not None
    assert machine.totals(WAIT).calls == 0
    assert machine.state is HALF_OPEN


def test_a_permit_that_comes_back_uncounted_is_given_to_another() -> None:
    machine = BreakerMachine(options())
    opened(machine, 0.0)
    first, second = machine.acquire(WAIT), machine.acquire(WAIT)
    assert machine.acquire(WAIT) is None
    assert first is not None
    machine.release(first)
    third = machine.acquire(WAIT)
    for permit in (second, third):
        assert permit is not None
        machine.record(permit, failed=False, slow=False, now=WAIT)
    assert machine.state is CLOSED


def test_it_tells_how_long_it_will_refuse() -> None:
    machine = BreakerMachine(options())
    assert machine.seconds_left(0.0) == 0.0
    opened(machine, 0.0)
    assert machine.seconds_left(4.0) == 6.0
    assert machine.seconds_left(40.0) == 0.0
    machine.force(FORCED_OPEN, 0.0)
    assert machine.seconds_left(0.0) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"failure_rate_threshold": 0.0},
        {"failure_rate_threshold": 100.5},
        {"failure_rate_threshold": float("nan")},
        {"slow_call_rate_threshold": -1.0},
        {"slow_call_duration_threshold": 0.0},
        {"sliding_window_type": "COUNT"},
        {"sliding_window_size": 0},
        {"minimum_number_of_calls": 0},
        {"wait_duration_in_open_state": float("nan")},
        {"permitted_number_of_calls_in_half_open_state": 0},
        {"max_wait_duration_in_half_open_state": -1.0},
    ],
)
def test_an_option_out_of_its_range_is_refused_by_name(changed: dict[str, Any]) -> None:
    with pytest.raises(CompositionError, match=next(iter(changed))):
        options(**changed)
