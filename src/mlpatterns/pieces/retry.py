"""Retry: repeats a request after a temporary failure, within a budget and before its deadline."""

from __future__ import annotations

import random

from mlpatterns.base import Wrapper
from mlpatterns.errors import CircuitOpen, NotStarted, Unavailable
from mlpatterns.pieces import piece
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.user_errors import CompositionError

__all__ = ["Repeater", "Retry", "RetryBudget"]

BASE, MOST = 0.025, 0.25  # seconds between two attempts: the first and the longest pause

Passing = Unavailable | NotStarted  # errors that may be gone at the next attempt


class RetryBudget:
    """Limits how many repetitions may run at once to a share of all running requests (the retry budget of Envoy).

    Without it, a model that is down would get a multiple of the requests that it gets when it is up.

    Args:
        percent: the share of the running requests that may be repetitions, in percent.
        least: the number of repetitions that may always run, however few requests there are.

    Attributes:
        requests, retries: the numbers of requests, including repetitions, and of repetitions that run now.
    """

    def __init__(self, percent: float = 20.0, least: int = 3) -> None:
        self.percent, self.least = percent, least
        self.requests = self.retries = 0

    def allows(self) -> bool:
        """Whether one more repetition may begin."""
        return self.retries < max(self.least, self.percent * self.requests / 100.0)


class Repeater:
    """Repeats the requests of a piece to a predictor; see `Retry`.

    Args:
        base: the longest random pause before the first repetition, in seconds.
        most: the longest pause before any repetition, in seconds.
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
        """The answer of the predictor, after at most `retries` repetitions.

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
        return max(told, random.uniform(0, most))  # noqa: S311 - jitter, so that clients do not retry in step

    def _may_repeat(self, request: InferenceRequest, error: Passing, wait: float) -> bool:
        if isinstance(error, CircuitOpen) or wait > self._most:
            return False
        if request.deadline is not None and self._clock.monotonic() + wait >= request.deadline:
            return False
        return not self._queues(request)

    def _queues(self, request: InferenceRequest) -> bool:
        """Whether the predictor answers with the id of a job."""
        try:
            outputs = self.inner.describe(request.context).outputs
        except NotStarted:
            return False  # without metadata, it cannot have accepted the request
        return any(spec.name == "job_id" for spec in outputs)


@piece(lambda inner, _: Retry(inner))
class Retry(Wrapper):
    """Repeats a request if `predictor` was UNAVAILABLE.

    Requests are repeated only after this error, because only then a repetition is safe and may help. An INTERNAL error
    would occur again, a full queue would grow, nobody waits after a DEADLINE, and an open circuit breaker means that
    the model needs a pause. A request that a queue may have accepted is not repeated either, because it would run
    twice. The note `retries`, which the caller gets as ``x-mlp-retries``, has the number of repetitions.

    The pause before a repetition is random. Its upper bound is `base_interval` at first and doubles each time, up to
    `max_interval`. If the error has a longer `retry_after`, the pause is that long. The caller gets the error if the
    pause would be longer than `max_interval` or end after the deadline, or if the budget of this worker is used up. The
    names are those of Envoy.

    Args:
        predictor: answers the requests.
        num_retries: the maximum number of repetitions of one request.
        budget_percent: the share of the running requests that may be repetitions, in percent.
        min_retry_concurrency: the number of repetitions that may always run, however few requests there are.
        base_interval, max_interval: the bounds of the pauses before the first and before any repetition, in seconds.
        name: the name of this piece; by default that of `predictor`.

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
