"""For your own tests: a clock that you turn, models that count, fail and dawdle, an HTTP client, real processes, load.

async with client(Pipeline(preprocessing, CountingModel())) as http:
    response = await http.post("/predict", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
async with process("web_single") as server:
    response = await server.http.post("/predict", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
    report = await attack(f"{server.url}/predict/test", rate=100, seconds=10)
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from mlpatterns.asgi_client import client, job_ended, until, until_ready
from mlpatterns.asked_keys import AskedKeys, CacheTrial, ask_keys, cache_trial
from mlpatterns.base import BasePredictor
from mlpatterns.context import NOTHING, Context
from mlpatterns.digit_images import digit_images
from mlpatterns.edge.trial import answers_in_node, answers_in_python, download, labels_of_pictures
from mlpatterns.errors import DeadlineExceeded, NotStarted, PredictionError, Unavailable
from mlpatterns.kill_trial import killed_under_load
from mlpatterns.load import Report, Target, attack, find_limit, loaded
from mlpatterns.logged import logged
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime
from mlpatterns.programs.batch_watch import batch_items, batch_run
from mlpatterns.server_process import ServerProcess, free_port, process
from mlpatterns.watched import Hook, heard, heard_of, iris_rows, watched

__all__ = [
    "Array", "AskedKeys", "CacheTrial", "CountingModel", "FakeClock", "FlakyModel", "Hook", "Report", "ServerProcess",
    "SlowModel", "Target", "answers_in_node", "answers_in_python", "ask_keys", "attack", "batch_items", "batch_run",
    "cache_trial", "client", "digit_images", "download", "find_limit", "free_port", "heard", "heard_of", "iris_rows",
    "job_ended", "killed_under_load", "labels_of_pictures", "loaded", "logged", "process", "request", "until",
    "until_ready", "watched",
]  # fmt: skip

_numbers = itertools.count(1)


class FakeClock:
    """A clock that stands still until `advance`; see predictor.Clock."""

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
        """How many sleep now."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Lets `seconds` pass: wakes the sleepers in order, each at its own time, and lets what they wake run."""
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
    for _ in range(10):  # what is woken may pass through several futures before it sleeps again
        await asyncio.sleep(0)


class CountingModel(BasePredictor):
    """A model that answers with the sum of each row, and counts.

    Its input ``input`` is FP32 [-1, -1], its output ``probabilities`` FP32 [-1, 1].

    Args:
        digest: of its "weights": its identity depends on it alone; None means that it has none.
        fields: the column names of its input.
        labels: the class names of its output.
        sample: what a request looks like; one row of zeros unless said.

    Attributes:
        calls, rows: asked so far; `requests` are the requests themselves, in order.
        running, most_running: at work now, and at once at most.
        starts, stops: how often it was started and stopped.
        cancelled: calls that were cancelled while at work.
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
        """What comes before the answer; nothing here, and what a double of your own may replace."""

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
        error: what it raises; by default Unavailable.
        fails: on which calls, counted from 1: a collection of them, or a function; every call unless said.
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
                # Each call its own, or the tracebacks of all calls would gather on one error.
                raise type(self.error)(self.error.message, retry_after=self.error.retry_after)
            raise self.error


class SlowModel(CountingModel):
    """A CountingModel that takes `seconds`.

    Args:
        blocking: whether it really blocks a thread for that long, which nothing can interrupt; else it sleeps by the
            runtime's clock, which a FakeClock moves and a cancellation ends.
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
    """An InferenceRequest of arrays by name; rows alone become the input ``input``, and lists of numbers FP32.

    Args:
        fields: `id`, `parameters`, `outputs`, `deadline` of the request.
    """
    named = inputs if isinstance(inputs, Mapping) else {"input": inputs}
    context = Context(f"test-{next(_numbers)}", headers, principal)
    return InferenceRequest({name: _array(value) for name, value in named.items()}, context, **fields)


def _array(value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    made = np.asarray(value)
    return made.astype(np.float32 if made.dtype.kind in "fiu" else object)
