"""Calls a model for many rows, in batches of the best size. A call is retried while the model is unavailable. A batch
that fails is halved until the bad rows are alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import numpy as np

from mlpatterns.context import Context
from mlpatterns.errors import Conflict, ErrorCode, InternalError, NotStarted, PredictionError, Unavailable
from mlpatterns.ids import new_id
from mlpatterns.interfaces import Clock
from mlpatterns.metadata import Array
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.programs.batch_plan import BatchPlan
from mlpatterns.programs.batch_size import BatchSize
from mlpatterns.tensors import check_rows, read_only, validate
from mlpatterns.user_code import text_for_client, user_exc_info
from mlpatterns.user_errors import CompositionError

__all__ = ["BatchCaller", "Refused"]

log = logging.getLogger("mlpatterns")

Refused = tuple[int, str, str]  # the index of a row, the error code and the error text
Part = Mapping[str, Array]

AGAIN = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.OVERLOADED, ErrorCode.RATE_LIMITED})
FIRST_PAUSE, MOST_PAUSE = 0.1, 10.0  # seconds
HOLD = 0.002  # seconds after which other tasks of this event loop get a turn
FAULTS_IN_A_ROW = 100  # faults of the model at successive rows after which the run stops


class BatchCaller:
    """Calls `predictor`, whose identity must stay `identity`."""

    def __init__(self, predictor: Predictor, identity: str, clock: Clock, plan: BatchPlan) -> None:
        self._predictor, self._identity, self._clock, self._plan = predictor, identity, clock, plan
        self.size = BatchSize(predictor.metadata.max_batch_size, plan.batch_rows)
        self._known = predictor.identity() is not None
        self._faults = 0
        self._turn = clock.monotonic()

    async def rows(self, inputs: Part, count: int, names: Sequence[str]) -> tuple[dict[str, Array], list[Refused]]:
        """The outputs of all rows that the model accepted, and the errors of the others.

        Raises:
            Unavailable: the model does not answer, or fails at FAULTS_IN_A_ROW rows in succession.
            Conflict: the model has changed.
            CompositionError: the predictor answers with a job instead of a result.
        """
        parts: list[Part] = []
        refused: list[Refused] = []
        place = 0
        while place < count:
            end = min(count, place + self.size.rows)
            await self._part(inputs, place, end, names, parts, refused)
            place = end
        if len(parts) == 1:
            return dict(parts[0]), refused
        return {name: np.concatenate([part[name] for part in parts]) for name in names} if parts else {}, refused

    async def _part(
        self, inputs: Part, place: int, end: int, names: Sequence[str], parts: list[Part], refused: list[Refused]
    ) -> None:
        try:
            parts.append(
                await self._patient({name: value[place:end] for name, value in inputs.items()}, end - place, names)
            )
            self._faults = 0
        except PredictionError as error:
            if isinstance(error, Conflict | Unavailable):
                raise
            if end - place == 1:
                self._count(error)
                refused.append((place, error.code.value, str(error)))
                return
            half = (place + end) // 2
            await self._part(inputs, place, half, names, parts, refused)
            await self._part(inputs, half, end, names, parts, refused)

    def _count(self, error: PredictionError) -> None:
        if not error.code.is_fault:
            self._faults = 0
            return
        self._faults += 1
        if self._faults >= FAULTS_IN_A_ROW:
            raise Unavailable(f"the model failed at {self._faults} rows in succession, so the run stops: {error}")

    async def _patient(self, inputs: Part, count: int, names: Sequence[str]) -> Part:
        """Repeats a call while the model is unavailable, for at most `retry_seconds`."""
        until, pause = self._clock.monotonic() + self._plan.retry_seconds, FIRST_PAUSE
        while True:
            try:
                return await self._once(inputs, count, names)
            except PredictionError as error:
                wait = max(pause, error.retry_after or 0.0)
                if error.code not in AGAIN:
                    raise
                if self._clock.monotonic() + wait > until:
                    raise Unavailable(f"the model does not answer, so the run stops: {error}") from error
                log.warning("the model does not answer (%s); trying again in %.1f s", error, wait)
            except NotStarted as error:
                wait = pause
                if self._clock.monotonic() + wait > until:
                    raise Unavailable(f"the model does not answer, so the run stops: {error.reason}") from error
            await self._clock.sleep(wait)
            pause = min(2 * pause, MOST_PAUSE)

    async def _once(self, inputs: Part, count: int, names: Sequence[str]) -> Part:
        described = self._predictor.metadata
        validate(inputs, described.inputs, described.max_batch_size)
        began = self._clock.monotonic()
        if began - self._turn > HOLD:
            await asyncio.sleep(0)
            self._turn = began = self._clock.monotonic()
        given = {name: read_only(value) for name, value in inputs.items()}
        asked = InferenceRequest(
            given, Context(new_id()), outputs=tuple(names), deadline=began + self._plan.call_seconds
        )
        try:
            response = await self._predictor.predict(asked)
        except (PredictionError, NotStarted):
            raise
        except Exception as error:
            log.error("the model failed", exc_info=user_exc_info(error))
            raise InternalError(text_for_client(error, "the model failed"), logged=True) from error
        self._check(response)
        found = {name: response.outputs[name] for name in names}
        check_rows(found, count)
        self.size.learn(count, self._clock.monotonic() - began)
        return found

    def _check(self, response: InferenceResponse) -> None:
        if response.status != "done":
            raise CompositionError("a batch run needs answers, not jobs: put the BatchJob inside of the JobQueue")
        if response.degraded:  # a substitute answer must not become a result
            raise Unavailable("a fallback answered in place of the model", retry_after=1)
        if self._known and response.identity is not None and response.identity != self._identity:
            raise Conflict("the model has changed since the run began; restart the run for the new one")
