"""Retry: a request that failed for a moment is repeated, within a budget and before its deadline."""

from __future__ import annotations

import random

from mlpatterns.base import Wrapper
from mlpatterns.errors import CircuitOpen, NotStarted, Unavailable
from mlpatterns.pieces import piece
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.user_errors import CompositionError

__all__ = ["Repeater", "Retry", "RetryBudget"]

BASE, MOST = 0.025, 0.25  # seconds between two attempts: the first, and the longest

Passing = Unavailable | NotStarted  # what may be over at the next attempt


class RetryBudget:
    """How many repetitions may run at once: a share of all requests that run. So a model that is down does not get
    twice the requests of a model that is up (the retry budget of Envoy).

    Args:
        percent: of the requests that run.
        least: repetitions that may run however few requests there are.

    Attributes:
        requests, retries: those that run now.
    """

    def __init__(self, percent: float = 20.0, least: int = 3) -> None:
        self.percent, self.least = percent, least
        self.requests = self.retries = 0

    def allows(self) -> bool:
        """Whether one more repetition may begin."""
        return self.retries < max(self.least, self.percent * self.requests / 100.0)


class Repeater:
    """Asks a predictor again, for a piece; see `Retry`.

    Args:
        base: seconds before the first repetition, at most; `most`, before any.
    """

    def __init__(
        self, inner: Predictor, runtime: Runtime, budget: RetryBudget, *, base: float = BASE, most: float = MOST
    ) -> None:
        self.inner, self.budget = inner, budget
        self._path, self._clock, self._base, self._most = runtime.path, runtime.clock, base, most
        self._repeated = runtime.metrics.counter(
            "mlpatterns_retry_retries_total", "Requests that were repeated.", piece=runtime.path
        )
        self._exceeded = runtime.metrics.counter(
            "mlpatterns_retry_budget_exceeded_total", "Repetitions for which there was no budget.", piece=runtime.path
        )

    async def ask(self, request: InferenceRequest, retries: int) -> InferenceResponse:
        """The answer of the predictor, after `retries` repetitions at most.

        Raises:
            PredictionError, NotStarted: the error of the last attempt.
        """
        budget = self.budget
        budget.requests += 1
        try:
            return await self.inner.predict(request)
        except (Unavailable, NotStarted) as error:
            first = error
        finally:
            budget.requests -= 1
        return await self._again(request, retries, first)

    async def _again(self, request: InferenceRequest, retries: int, error: Passing) -> InferenceResponse:
        """Repeats the request until it is answered or must not be repeated."""
        context, budget = request.context.at(self._path), self.budget
        for number in range(1, retries + 1):
            wait = self._wait(number, error)
            if not self._may_repeat(request, error, wait):
                raise error
            if not budget.allows():
                self._exceeded.inc()
                raise error
            budget.requests += 1
            budget.retries += 1
            self._repeated.inc()
            context.note("retries", number, public=True)
            try:
                await self._clock.sleep(wait)
                return await self.inner.predict(request)
            except (Unavailable, NotStarted) as another:
                error = another
            finally:
                budget.requests -= 1
                budget.retries -= 1
        raise error

    def _wait(self, number: int, error: Passing) -> float:
        most = min(self._most, self._base * 2 ** (number - 1))
        told = 0.0 if isinstance(error, NotStarted) else error.retry_after or 0.0
        return max(told, random.uniform(0, most))  # noqa: S311 - so that many do not come back at once

    def _may_repeat(self, request: InferenceRequest, error: Passing, wait: float) -> bool:
        if isinstance(error, CircuitOpen) or wait > self._most:
            return False
        if request.deadline is not None and self._clock.monotonic() + wait >= request.deadline:
            return False
        return not self._queues(request)

    def _queues(self, request: InferenceRequest) -> bool:
        """Whether what is below answers with the id of a job."""
        try:
            outputs = self.inner.describe(request.context).outputs
        except NotStarted:
            return False  # nothing that could have accepted the request
        return any(spec.name == "job_id" for spec in outputs)


@piece(lambda inner, _: Retry(inner))
class Retry(Wrapper):
    """Repeats a request if `predictor` was UNAVAILABLE.

    Only this error is repeated, since only there a repetition is safe and may help: an INTERNAL error would come again,
    a full queue would grow, nobody waits after a DEADLINE, and an open circuit breaker says that the model needs a
    pause. A request that a queue may have accepted is not repeated either, since it would be done twice. The note
    `retries`, which the caller gets as ``x-mlp-retries``, has the number of repetitions.

    The pause before a repetition is random, below `base_interval` at first; the bound doubles each time up to
    `max_interval`. If the error has a longer `retry_after`, the pause is that long. If the pause would be longer than
    `max_interval`, would end after the deadline, or the budget of this worker is used up, the caller gets the error.
    The names are those of Envoy.

    Args:
        predictor: answers the requests.
        num_retries: the most repetitions of one request.
        budget_percent: the share of the running requests that may be repetitions, in percent.
        min_retry_concurrency: repetitions that may run however few requests there are.
        base_interval, max_interval: seconds.
        name: by default that of `predictor`.

    Raises:
        CompositionError: an option is out of its range.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        num_retries: int = 2,
        budget_percent: float = 20.0,
        min_retry_concurrency: int = 3,
        base_interval: float = BASE,
        max_interval: float = MOST,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        if not (1 <= num_retries <= 100 and 0 <= budget_percent <= 100 and min_retry_concurrency >= 0):
            raise CompositionError(
                "num_retries must be 1 to 100, budget_percent 0 to 100, and min_retry_concurrency at least 0"
            )
        if not 0 < base_interval <= max_interval:
            raise CompositionError("base_interval must be more than 0 seconds, and max_interval at least that")
        self.num_retries, self.base_interval, self.max_interval = num_retries, base_interval, max_interval
        self.budget_percent, self.min_retry_concurrency = budget_percent, min_retry_concurrency

    async def start(self, runtime: Runtime) -> None:
        budget = RetryBudget(self.budget_percent, self.min_retry_concurrency)
        self._repeater = Repeater(self.inner, runtime, budget, base=self.base_interval, most=self.max_interval)

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await self._repeater.ask(request, self.num_retries)
