"""Batcher: requests that arrive while the model is busy go to it together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import numpy as np
from msgspec.structs import replace

from mlpatterns.base import Wrapper
from mlpatterns.errors import DeadlineExceeded, NotStarted, Overloaded
from mlpatterns.metadata import ModelMetadata
from mlpatterns.pieces import piece
from mlpatterns.pieces.batcher.batches import Batch, Group, Outcome, QueuedRequest, ask_together, group_of
from mlpatterns.pieces.flights import Flight, Flights
from mlpatterns.pieces.identity import refuse_callers
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.tensors import batch_size, validate
from mlpatterns.user_errors import CompositionError

__all__ = ["Batcher"]

log = logging.getLogger("mlpatterns")

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@piece(lambda inner, _: Batcher(inner), detaches=True)
class Batcher(Wrapper):
    """Combines waiting requests into batches for `predictor`, whose answer to a row must not depend on the other rows.

    While the model is idle, a request goes to it immediately and alone, without added latency. Requests that arrive
    while the model is busy wait; those with the same sizes, parameters, outputs and purpose then go to it in batches. A
    request that does not match the inputs of the model is refused before it waits. If a batch fails and a retry would
    fail too, the batch is halved repeatedly, so that only the bad request fails. A request whose deadline has passed,
    or whose caller has left, is dropped from the batch. A request with more than `max_batch_size` rows is split.

    The note `batch_size` has the number of rows in the batch.

    Args:
        predictor: answers the batches.
        max_batch_size: the maximum number of rows in a batch; the limit of the model itself also applies.
        max_queue: the number of requests that may wait; further requests are refused.
        max_concurrency: the number of batches that run at once; more than 1 is for a predictor with several workers,
            such as a remote model.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: at the start: the answer depends on the caller, or a tensor of the model has no batch axis.
        Overloaded: too many requests wait.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        max_batch_size: int = 32,
        max_queue: int = 1024,
        max_concurrency: int = 1,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        if max_batch_size < 1 or max_concurrency < 1 or max_queue < 0:
            raise CompositionError(
                "a Batcher needs a max_batch_size and a max_concurrency of at least 1, and a max_queue of at least 0"
            )
        self.max_batch_size, self.max_queue, self.max_concurrency = max_batch_size, max_queue, max_concurrency
        self._known: tuple[ModelMetadata, ModelMetadata] | None = None
        self._stops: Sequence[Callable[[], Awaitable[None]]] = ()

    @property
    def metadata(self) -> ModelMetadata:
        """The metadata of the model without a limit on the rows, because larger requests are split."""
        inner = self.inner.metadata
        if self._known is None or self._known[0] is not inner:
            self._known = inner, replace(inner, max_batch_size=None)
        return self._known[1]

    async def start(self, runtime: Runtime) -> None:
        refuse_callers("Batcher", self.inner)
        self._runtime, self._path, self._clock = runtime, runtime.path, runtime.clock
        self._checked: ModelMetadata | None = None
        try:
            _check_axes(self.inner.metadata)
        except NotStarted:
            log.info("%r cannot be batched yet: batching starts once it is ready", self.inner.name)
        self._slots = asyncio.Semaphore(self.max_concurrency)
        self._flights: Flights[list[Outcome]] = Flights(runtime.clock)
        self._stops = (self._flights.stop,)
        self._open: dict[Group, Batch] = {}
        self._begun = self._waiting = 0
        metrics, path = runtime.metrics, runtime.path
        self._sizes = metrics.histogram("mlpatterns_batcher_rows", "Rows asked together.", bounds=SIZES, piece=path)
        self._queued = metrics.gauge("mlpatterns_batcher_queued", "Requests that wait for a batch.", piece=path)
        self._refused = metrics.counter("mlpatterns_batcher_refused_total", "Requests refused: too many wait.",
                                        piece=path)  # fmt: skip
        self._divided = metrics.counter("mlpatterns_batcher_divided_total", "Batches that failed and were halved.",
                                        piece=path)  # fmt: skip

    async def stop(self) -> None:
        for stop in self._stops:  # empty if start() failed
            await stop()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        metadata = self.inner.metadata
        if metadata is not self._checked:
            _check_axes(metadata)
            self._checked = metadata
            self._apart = {spec.name for spec in metadata.inputs if spec.shape[:1] != (-1,)}
        validate(request.inputs, metadata.inputs)
        most = min(self.max_batch_size, metadata.max_batch_size or self.max_batch_size)
        rows = batch_size(request.inputs)
        whole = not self._apart.isdisjoint(request.inputs)  # an input without rows is for its own request only
        if rows > most and not whole:
            return await self._in_parts(request, rows, most)
        if self._slots.locked() and not whole:
            return await self._with_others(request, rows, most)
        async with self._slots:
            return await self._alone(request, rows)

    async def _alone(self, request: InferenceRequest, rows: int) -> InferenceResponse:
        """Calls the model in the caller's own task, without a wait, and with a detached context, as a batch does."""
        context = request.context.detached()
        asked = InferenceRequest(request.inputs, context, None, request.parameters, request.outputs, request.deadline)
        self._tell(asked, rows)
        try:
            return await self.inner.predict(asked)
        finally:
            request.context.notes.extend(context.notes)

    async def _in_parts(self, request: InferenceRequest, rows: int, most: int) -> InferenceResponse:
        """Sends one part after another, so that a request with many rows does not fill the queue."""
        answers = []
        for begin in range(0, rows, most):
            inputs = {name: value[begin : begin + most] for name, value in request.inputs.items()}
            answers.append(await self.predict(replace(request, inputs=inputs)))
        outputs = {name: np.concatenate([answer.outputs[name] for answer in answers]) for name in answers[0].outputs}
        return replace(answers[0], outputs=outputs, degraded=any(answer.degraded for answer in answers))

    # ---- batches ----

    async def _with_others(self, request: InferenceRequest, rows: int, most: int) -> InferenceResponse:
        if self._waiting >= self.max_queue:
            self._refused.inc()
            raise Overloaded(f"{self.max_queue} requests wait for the model; try again later", retry_after=1)
        group = group_of(request)
        batch = self._open.get(group)
        if batch is None or batch.rows + rows > most:
            self._begun += 1
            batch = self._open[group] = Batch(str(self._begun), group)
        item = QueuedRequest(request, rows)
        place = batch.add(item)
        self._wait(item, 1)
        try:
            outcomes, _ = await self._flights.ask(
                batch.key, partial(self._fly, batch), request.deadline, request.context.notes
            )
        finally:
            item.left = True
            self._wait(item, -1)
        outcome = outcomes[place]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _wait(self, item: QueuedRequest, step: int) -> None:
        if item.waits is (step < 0):
            item.waits = step > 0
            self._waiting += step
            self._queued.inc(step)

    async def _fly(self, batch: Batch, flight: Flight[list[Outcome]]) -> list[Outcome]:
        """Runs one batch: waits for a free slot, then sends the requests that the batch has by then."""
        try:
            await self._slots.acquire()
        finally:
            if self._open.get(batch.group) is batch:
                del self._open[batch.group]
        try:
            return await self._ask(batch, flight)
        finally:
            self._slots.release()

    async def _ask(self, batch: Batch, flight: Flight[list[Outcome]]) -> list[Outcome]:
        deadline = flight.take_deadline()
        now = self._clock.monotonic()
        outcomes: list[Outcome] = [DeadlineExceeded()] * len(batch.items)
        places = []
        for place, item in enumerate(batch.items):
            self._wait(item, -1)
            if not item.left and (item.request.deadline is None or item.request.deadline > now):
                places.append(place)
        if not places:
            return outcomes
        items = [batch.items[place] for place in places]
        first = items[0].request
        context = first.context.detached()
        flight.notes = context.notes
        shape = InferenceRequest({}, context, None, first.parameters, first.outputs, deadline)
        self._tell(shape, sum(item.rows for item in items))
        answers = await ask_together(self.inner, items, shape, self._divided)
        for place, answer in zip(places, answers, strict=True):
            outcomes[place] = answer
        return outcomes

    def _tell(self, asked: InferenceRequest, rows: int) -> None:
        self._sizes.observe(rows)
        asked.context.at(self._path).note("batch_size", rows)


def _check_axes(metadata: ModelMetadata) -> None:
    for what, specs in (("input", metadata.inputs), ("output", metadata.outputs)):
        for spec in specs:
            if spec.shape[:1] != (-1,) and not spec.optional:
                raise CompositionError(
                    f"{metadata.name!r} cannot be batched: its {what} {spec.name!r} has the shape {list(spec.shape)}, "
                    "whose first axis is not free; export the model with a free batch axis, or remove the Batcher"
                )
