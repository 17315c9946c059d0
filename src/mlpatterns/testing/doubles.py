"""Test doubles: models that count their calls, fail, or are slow; and a function that makes requests."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from mlpatterns.base import BasePredictor
from mlpatterns.context import NOTHING, Context
from mlpatterns.errors import DeadlineExceeded, NotStarted, PredictionError, Unavailable
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime

__all__ = ["CountingModel", "FlakyModel", "SlowModel", "request"]

_numbers = itertools.count(1)


class CountingModel(BasePredictor):
    """A model that returns the sum of each row, and counts its calls.

    Its input ``input`` is FP32 [-1, -1], its output ``probabilities`` FP32 [-1, 1].

    Args:
        digest: the digest of its "weights", which alone determines its identity; None for no identity.
        fields: the column names of its input.
        labels: the class names of its output.
        sample: an example of its inputs; by default one row of zeros.
        version: the version in its answers and metadata.

    Attributes:
        calls, rows: how many calls and rows it got so far.
        requests: the requests of these calls, in order.
        running, most_running: the number of calls in progress now, and its maximum so far.
        starts, stops: how often it was started and stopped.
        cancelled: the number of calls that were cancelled while in progress.
    """

    def __init__(
        self,
        name: str = "counting",
        *,
        version: str = "1",
        digest: str | None = "weights",
        fields: Collection[str] = (),
        labels: Collection[str] = (),
        sample: Mapping[str, Array] | None = None,
    ) -> None:
        super().__init__(name)
        columns = len(fields) or -1
        self._described = ModelMetadata(
            name,
            version,
            "testing",
            (TensorSpec("input", "FP32", (-1, columns), fields=tuple(fields)),),
            (TensorSpec("probabilities", "FP32", (-1, 1)),),
            "probabilities",
            tuple(labels),
            {"input": np.zeros((1, max(1, columns)), np.float32)} if sample is None else sample,
        )
        self.digest = digest
        self.calls = self.rows = self.running = self.most_running = self.starts = self.stops = self.cancelled = 0
        self.requests: list[InferenceRequest] = []
        self._runtime: Runtime | None = None

    @property
    def metadata(self) -> ModelMetadata:
        if self._runtime is None:
            raise NotStarted(self.name)
        return self._described

    def identity(self) -> str | None:
        return None if self.digest is None else hashlib.sha256(self.digest.encode()).hexdigest()

    async def start(self, runtime: Runtime) -> None:
        self.starts += 1
        self._runtime = runtime

    async def stop(self) -> None:
        self.stops += 1
        self._runtime = None

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        runtime = self._runtime
        if runtime is None:
            raise NotStarted(self.name)
        self.calls += 1
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if request.deadline is not None and runtime.clock.monotonic() >= request.deadline:
                raise DeadlineExceeded
            await self.work(runtime, request)
            return self.answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        """The work before the answer. It does nothing here; a subclass may override it."""

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        rows = next(iter(request.inputs.values()))
        self.rows += len(rows)
        numbers = np.asarray(rows, np.float32)
        sums = numbers.sum(axis=tuple(range(1, numbers.ndim))).reshape(len(rows), 1)
        outputs = {"probabilities": sums}
        return InferenceResponse(outputs, self.name, self._described.version, self.identity())


class FlakyModel(CountingModel):
    """A CountingModel that fails.

    Args:
        error: the error that it raises; by default Unavailable.
        fails: the calls that fail, counted from 1: a collection of numbers or a function; by default every call.
        options: of CountingModel.
    """

    def __init__(
        self,
        name: str = "flaky",
        *,
        error: Exception | None = None,
        fails: Collection[int] | Callable[[int], bool] = lambda call: True,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        self.error = error or Unavailable("the flaky model fails this call")
        self._fails = fails if callable(fails) else fails.__contains__

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        if self._fails(self.calls):
            if isinstance(self.error, PredictionError):
                # A copy for each call, so that tracebacks do not accumulate on one error.
                raise type(self.error)(self.error.message, retry_after=self.error.retry_after)
            raise self.error


class SlowModel(CountingModel):
    """A CountingModel that takes `seconds`.

    Args:
        seconds: the duration of each call.
        blocking: whether it blocks a thread, which nothing can interrupt. If false, it sleeps by the runtime's clock: a
            FakeClock can advance it, and a cancellation ends it.
        options: of CountingModel.
    """

    def __init__(self, name: str = "slow", *, seconds: float = 0.01, blocking: bool = False, **options: Any) -> None:
        super().__init__(name, **options)
        self.seconds, self.blocking = seconds, blocking

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        if self.blocking:
            await runtime.offload(lambda: time.sleep(self.seconds))
        else:
            await runtime.clock.sleep(self.seconds)


def request(
    inputs: Mapping[str, Any] | Iterable[Any],
    *,
    headers: Mapping[str, str] = NOTHING,
    principal: str | None = None,
    **fields: Any,
) -> InferenceRequest:
    """An InferenceRequest. Rows without a name become the input ``input``; lists of numbers become FP32.

    Args:
        inputs: arrays or lists by name, or rows.
        headers, principal: those of its context.
        fields: the fields `id`, `parameters`, `outputs`, `deadline` of the request.
    """
    named = inputs if isinstance(inputs, Mapping) else {"input": inputs}
    context = Context(f"test-{next(_numbers)}", headers, principal)
    return InferenceRequest({name: _array(value) for name, value in named.items()}, context, **fields)


def _array(value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    made = np.asarray(value)
    return made.astype(np.float32 if made.dtype.kind in "fiu" else object)
