"""The candidate of a shadow: it starts in the background, gets requests from a bounded queue, and is compared."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from mlpatterns.analysis.differences import Difference, difference
from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, InternalError, NotStarted, PredictionError, Unavailable
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.user_code import await_user_code

__all__ = ["Mirror", "MirrorCounts", "MirrorOutcome", "MirroredRequest"]

log = logging.getLogger("mlpatterns")


class MirroredRequest(Struct, frozen=True):
    """A request that the primary has answered.

    Attributes:
        answer: the answer of the primary.
        described: the metadata of the model that answered.
        at: the time at which the request arrived, in seconds since 1970.
        seconds: how long the primary took.
    """

    request: InferenceRequest
    answer: InferenceResponse
    described: ModelMetadata
    at: float
    seconds: float


class MirrorOutcome(Struct, frozen=True):
    """The outcome of one mirrored request: the answer of the candidate and its difference, or an error."""

    mirrored: MirroredRequest
    context: Context
    at: float
    seconds: float
    answer: InferenceResponse | None = None
    found: Difference | None = None
    error: PredictionError | None = None


class MirrorCounts(Struct, frozen=True):
    """Counts of this process since its start: sampled = compared + failed + dropped + waiting.

    Attributes:
        ready: whether the candidate has started; until then every request is dropped.
    """

    ready: bool
    sampled: int
    compared: int
    failed: int
    dropped: int
    waiting: int


class Mirror:
    """Sends the requests of callers to `candidate`, in the background.

    Args:
        on_outcome: a function that gets each outcome; it must not wait.
        max_concurrency: the number of requests that the candidate runs at once; it shares threads with the primary.
        max_waiting, max_bytes: limits on the requests that wait and on their tensors; others are dropped and counted.
        timeout: the seconds that one request may take.
    """

    def __init__(
        self,
        candidate: Predictor,
        runtime: Runtime,
        on_outcome: Callable[[MirrorOutcome], None],
        *,
        max_concurrency: int,
        max_waiting: int,
        max_bytes: int,
        timeout: float,
        tolerance: float,
    ) -> None:
        self._candidate, self._runtime, self._on_outcome, self._clock = candidate, runtime, on_outcome, runtime.clock
        self._max_waiting, self._max_bytes, self._timeout, self._tolerance = max_waiting, max_bytes, timeout, tolerance
        self.ready = self._stopping = False
        self._waiting: deque[tuple[MirroredRequest, int]] = deque()
        self._bytes = self._inside = 0
        self._wake = asyncio.Event()
        counter, path = runtime.metrics.counter, runtime.path
        self._sampled = counter("mlpatterns_shadow_sampled_total", "Requests that a shadow took.", piece=path)
        name, what = "mlpatterns_shadow_requests_total", "Requests of a shadow by how they ended with its candidate."
        self._ends = {end: counter(name, what, piece=path, end=end) for end in ("compared", "failed", "dropped")}
        name = "mlpatterns_shadow_differing_rows_total"
        self._differing = counter(name, "Rows that a candidate answered otherwise.", piece=path)
        self._rows = counter("mlpatterns_shadow_rows_total", "Rows that a candidate answered.", piece=path)
        name, what = "mlpatterns_shadow_seconds", "Time that primary and candidate took for the same requests."
        self._seconds = {
            side: runtime.metrics.histogram(name, what, piece=path, side=side) for side in ("primary", "candidate")
        }
        runtime.keep("start the candidate", self._start)
        for _ in range(max_concurrency):
            runtime.keep("ask the candidate", self._work)

    def put(self, mirrored: MirroredRequest) -> bool:
        """Queues one request, or drops it; never waits."""
        self._sampled.inc()
        size = sum(map(_bytes, mirrored.request.inputs.values()))
        full = len(self._waiting) + self._inside >= self._max_waiting or self._bytes + size > self._max_bytes
        if not self.ready or full:
            self._ends["dropped"].inc()
            return False
        self._waiting.append((mirrored, size))
        self._bytes += size
        self._wake.set()
        return True

    @property
    def counts(self) -> MirrorCounts:
        ends = {end: int(metric.value) for end, metric in self._ends.items()}
        return MirrorCounts(self.ready, int(self._sampled.value), **ends, waiting=len(self._waiting) + self._inside)

    async def stop(self) -> None:
        """Drops the waiting requests, and stops the candidate."""
        self._stopping, self.ready = True, False
        self._ends["dropped"].inc(len(self._waiting))
        self._waiting.clear()
        await self._runtime.stop_tree(self._candidate)

    # ---- the candidate ----

    async def _start(self) -> None:
        await self._runtime.start_tree(self._candidate)
        if self._stopping:  # stop() was called during the start
            await self._runtime.stop_tree(self._candidate)
        else:
            self.ready = True
            log.info("%s: the candidate has started", self._runtime.path)

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            mirrored, size = self._waiting.popleft()
            self._inside += 1
            try:
                end = await self._ask(mirrored)
            except BaseException:  # the piece stops, so the request has no outcome
                self._ends["dropped"].inc()
                raise
            finally:
                self._inside -= 1
                self._bytes -= size
            self._count(end)
            self._on_outcome(end)

    async def _ask(self, mirrored: MirroredRequest) -> MirrorOutcome:
        """The outcome of one request; raises only when it is cancelled."""
        asked = mirrored.request
        context = asked.context.detached()
        context.prediction_id, context.caller_id = asked.context.prediction_id, asked.context.caller_id
        context.where = f"{self._runtime.path}/candidate"
        at, began = self._clock.time(), self._clock.monotonic()
        request = InferenceRequest(asked.inputs, context, None, asked.parameters, asked.outputs, began + self._timeout)
        try:
            answer = await _within(self._timeout, await_user_code(self._candidate.predict(request)))
            seconds = self._clock.monotonic() - began
            found = self._compare(mirrored, answer)
            return MirrorOutcome(mirrored, context, at, seconds, answer, found)
        except Exception as error:
            return MirrorOutcome(mirrored, context, at, self._clock.monotonic() - began, error=_refusal(error))

    def _compare(self, mirrored: MirroredRequest, answer: InferenceResponse) -> Difference:
        if answer.status != "done":
            raise InternalError("the candidate answers later, so there is nothing to compare")
        name = mirrored.described.primary_output
        if name not in mirrored.answer.outputs:  # the caller requested other outputs
            name = next(iter(mirrored.answer.outputs), name)
        try:
            one, other = mirrored.answer.outputs[name], answer.outputs[name]
            labels = mirrored.described.labels if name == mirrored.described.primary_output else ()
            return difference(one, other, labels, self._tolerance)
        except KeyError:
            raise InternalError(f"the candidate gave no output {name!r}") from None
        except ValueError as error:
            raise InternalError(f"the candidate's answer cannot be compared: {error}") from error

    def _count(self, end: MirrorOutcome) -> None:
        self._ends["compared" if end.found is not None else "failed"].inc()
        if end.found is not None:
            self._differing.inc(end.found.differ)
            self._rows.inc(end.found.rows)
            self._seconds["primary"].observe(end.mirrored.seconds)
            self._seconds["candidate"].observe(end.seconds)


def _bytes(value: Array) -> int:
    texts = sum(len(item) for item in value.flat if isinstance(item, bytes | str)) if value.dtype == object else 0
    return value.nbytes + texts


async def _within(seconds: float, work: Awaitable[Any]) -> Any:
    """The result of `work`.

    Raises:
        DeadlineExceeded: `work` took longer than `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise DeadlineExceeded("the candidate did not answer in time") from None


def _refusal(error: Exception) -> PredictionError:
    if isinstance(error, PredictionError):
        return error
    if isinstance(error, NotStarted):
        return Unavailable("the candidate is not ready")
    log.warning("a candidate failed", exc_info=error)
    return InternalError(f"the candidate raised {type(error).__name__}")
