"""CircuitBreaker: sends no requests to a failing or slow model for a while, and then a few to test it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from types import NoneType
from typing import Literal

from msgspec import Struct

from mlpatterns.base import CLIENT_LEFT, Wrapper, ended
from mlpatterns.errors import CircuitOpen, ErrorCode, Unavailable
from mlpatterns.interfaces import Document
from mlpatterns.pieces import piece
from mlpatterns.pieces.circuit_breaker.state import BreakerMachine, BreakerOptions, BreakerState, Permit
from mlpatterns.predictor import Caller, Health, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime

__all__ = ["BreakerStats", "CircuitBreaker", "SetBreaker"]

log = logging.getLogger("mlpatterns")

Forced = Literal["DISABLED", "FORCED_OPEN", "METRICS_ONLY"]


class BreakerCommand(Struct, frozen=True):
    """The shared document: the last command for all workers. `resets` grows with each command to make it a change."""

    forced: Forced | None = None
    resets: int = 0


class SetBreaker(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of the command `breaker`. CLOSED ends a forced state and begins with an empty window."""

    state: Literal["CLOSED", "DISABLED", "FORCED_OPEN", "METRICS_ONLY"]


class BreakerStats(Struct, frozen=True):
    """The breaker of this worker; each worker has its own. Rates are in percent.

    Attributes:
        revision, by: the last command, which applies to all workers: its number, and who gave it.
    """

    model: str
    state: BreakerState
    failure_rate: float
    slow_call_rate: float
    buffered_calls: int
    failed_calls: int
    slow_calls: int
    not_permitted_calls: int
    revision: int
    by: str


@piece(lambda inner, _: CircuitBreaker(inner))
class CircuitBreaker(Wrapper):
    """Protects `predictor`. States, windows and names are those of resilience4j; times are in seconds.

    A failure is a fault of the model: INTERNAL, UNAVAILABLE, or a DEADLINE after the call ran for
    `slow_call_duration_threshold` (so that one impatient client does not open it for all). Other errors count neither
    as success nor as failure: a bad request, a full queue, a client that left, an open breaker further inside.

    Each worker has its own window and state; a state that a command forces applies to all workers. The command
    ``breaker`` takes the state FORCED_OPEN, DISABLED, METRICS_ONLY or CLOSED; the query of the same name returns the
    counts.

    Args:
        predictor: the model; it gets no requests while the breaker is open.
        failure_rate_threshold: the percentage of failed calls at which the breaker opens.
        slow_call_rate_threshold: the percentage of slow calls at which the breaker opens.
        slow_call_duration_threshold: the seconds from which a call counts as slow; with a value above the time limit of
            requests (30), no call is slow.
        sliding_window_type: ``COUNT_BASED``: the last calls; ``TIME_BASED``: the calls of the last seconds.
        sliding_window_size: the number of calls or seconds in the window.
        minimum_number_of_calls: the number of calls in the window before the rates are compared with the thresholds.
        wait_duration_in_open_state: the seconds until the breaker tries the model again.
        permitted_number_of_calls_in_half_open_state: the number of calls in that trial.
        max_wait_duration_in_half_open_state: the seconds after which the breaker opens again if the trial has not
            ended; 0 means never.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: an option is out of its range.
        CircuitOpen: the breaker is open; `retry_after` has the seconds until it tries the model again.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        failure_rate_threshold: float = 50.0,
        slow_call_rate_threshold: float = 100.0,
        slow_call_duration_threshold: float = 60.0,
        sliding_window_type: Literal["COUNT_BASED", "TIME_BASED"] = "COUNT_BASED",
        sliding_window_size: int = 100,
        minimum_number_of_calls: int = 100,
        wait_duration_in_open_state: float = 60.0,
        permitted_number_of_calls_in_half_open_state: int = 10,
        max_wait_duration_in_half_open_state: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        self.options = BreakerOptions(
            failure_rate_threshold=failure_rate_threshold,
            slow_call_rate_threshold=slow_call_rate_threshold,
            slow_call_duration_threshold=slow_call_duration_threshold,
            sliding_window_type=sliding_window_type,
            sliding_window_size=sliding_window_size,
            minimum_number_of_calls=minimum_number_of_calls,
            wait_duration_in_open_state=wait_duration_in_open_state,
            permitted_number_of_calls_in_half_open_state=permitted_number_of_calls_in_half_open_state,
            max_wait_duration_in_half_open_state=max_wait_duration_in_half_open_state,
        )
        self._machine = BreakerMachine(self.options)
        self.operations = (
            Operation("breaker", "query", "public", NoneType, BreakerStats, self._stats),
            Operation("breaker", "command", "token", SetBreaker, BreakerStats, self._set),
        )

    async def start(self, runtime: Runtime) -> None:
        self._path, self._clock = runtime.path, runtime.clock
        calls = "Calls of a circuit breaker, by how they counted."
        counted = {
            kind: runtime.metrics.counter(
                "mlpatterns_circuit_breaker_calls_total", calls, piece=runtime.path, kind=kind
            )
            for kind in ("successful", "failed", "not_counted", "not_permitted")
        }
        self._successful, self._failed = counted["successful"], counted["failed"]
        self._not_counted, self._refused = counted["not_counted"], counted["not_permitted"]
        self._slow = runtime.metrics.counter(
            "mlpatterns_circuit_breaker_slow_calls_total", "Calls that were slow.", piece=runtime.path
        )
        self._states = {
            state: runtime.metrics.gauge(
                "mlpatterns_circuit_breaker_workers", "Workers whose circuit breaker is in a state.",
                piece=runtime.path, state=state.value,
            )
            for state in BreakerState
        }  # fmt: skip
        self._machine = BreakerMachine(self.options, self._changed)
        self._states[self._machine.state].set(1)
        self._seen: Document[BreakerCommand] | None = None
        self._shared = await runtime.shared("breaker", BreakerCommand, BreakerCommand())
        with suppress(Unavailable):  # the store is down: its state is applied when it is back
            self._apply_command(self._shared.document)
        self._shared.watch(self._apply_command)

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if self._seen is None:
            self._apply_command(self._shared.document)
        machine, began = self._machine, self._clock.monotonic()
        if (permit := machine.acquire(began)) is None:
            raise self._refusal(request, began)
        try:
            response = await self.inner.predict(request)
        except BaseException as error:
            self._count_error(error, request, permit, began)
            raise
        now = self._clock.monotonic()
        slow = now - began >= self.options.slow_call_duration_threshold
        machine.record(permit, failed=False, slow=slow, now=now)
        self._successful.inc()
        if slow:
            self._slow.inc()
        return response

    def _refusal(self, request: InferenceRequest, now: float) -> CircuitOpen:
        self._refused.inc()
        request.context.at(self._path).note("breaker", self._machine.state.value.lower(), public=True)
        left = self._machine.seconds_left(now)
        wait = self.options.wait_duration_in_open_state if left is None else max(left, 1.0)
        raise CircuitOpen(f"the model {self.name!r} fails or is slow; try again later", retry_after=wait)

    def _count_error(self, error: BaseException, request: InferenceRequest, permit: Permit, began: float) -> None:
        now = self._clock.monotonic()
        slow = now - began >= self.options.slow_call_duration_threshold
        code = ended(error, request, self._clock)
        if code == CLIENT_LEFT or not code.is_fault or isinstance(error, CircuitOpen):
            failed = False
        else:
            failed = slow or code is not ErrorCode.DEADLINE
        if not failed:
            self._not_counted.inc()
            self._machine.release(permit)
            return
        self._failed.inc()
        if slow:
            self._slow.inc()
        self._machine.record(permit, failed=True, slow=slow, now=now)

    # ---- states ----

    def _apply_command(self, document: Document[BreakerCommand]) -> None:
        """Applies the newest command."""
        before, self._seen = self._seen, document
        if document.value.forced is not None:
            self._machine.force(BreakerState(document.value.forced), self._clock.monotonic())
        elif before is not None and document.revision != before.revision:
            self._machine.force(BreakerState.CLOSED, self._clock.monotonic())

    def _changed(self, old: BreakerState, new: BreakerState) -> None:
        if old is not new:
            self._states[old].set(0)
            self._states[new].set(1)
            log.warning("the circuit breaker %r was %s and is %s", self._path, old.value, new.value)

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Ready even if the breaker is open: without requests it could not detect that the model has recovered."""
        state = self._machine.state
        if state in (BreakerState.CLOSED, BreakerState.DISABLED, BreakerState.METRICS_ONLY):
            return super().overall_health(below)
        return super().overall_health([*below, Health(True, f"the circuit breaker of {self.name!r} is {state.value}")])

    async def stop(self) -> None:
        self._machine = BreakerMachine(self.options)

    # ---- operations ----

    async def _stats(self, _: None, caller: Caller) -> BreakerStats:
        """State, rates and counts of the window."""
        totals, document = self._machine.totals(self._clock.monotonic()), self._shared.document
        return BreakerStats(
            model=self.name,
            state=self._machine.state,
            failure_rate=totals.failure_rate,
            slow_call_rate=totals.slow_call_rate,
            buffered_calls=totals.calls,
            failed_calls=totals.failed,
            slow_calls=totals.slow,
            not_permitted_calls=int(self._refused.value),
            revision=document.revision,
            by=document.by,
        )

    async def _set(self, command: SetBreaker, caller: Caller) -> BreakerStats:
        """Forces a state in all workers within a second, or ends the forced state.

        Raises:
            Unavailable: the control store does not answer.
        """
        forced = None if command.state == "CLOSED" else command.state
        await self._shared.change(
            lambda value: BreakerCommand(forced, value.resets + 1), caller.principal or "anonymous"
        )
        return await self._stats(None, caller)
