"""What pieces and programs are given.

What an author of a piece or of a program uses beside the names above. A `Runtime` hands over time, metrics, and the
documents that all processes share.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from mlpatterns import (
    Array,
    Clock,
    ControlStore,
    DeadlineExceeded,
    Document,
    InferenceRequest,
    InferenceResponse,
    Metrics,
    MetricSeries,
    Runtime,
    Shared,
    Streamed,
    Wrapper,
    ended,
    running,
)
from mlpatterns.testing import CountingModel, FakeClock, request

NAMES = ("Clock", "Metrics", "MetricSeries", "Shared", "Document", "ControlStore", "Streamed", "Array", "ended")


async def clock_example() -> None:
    async def tick(clock: Clock) -> float:
        await clock.sleep(60)
        return clock.monotonic()

    clock = FakeClock()
    began = clock.monotonic()
    ticking = asyncio.create_task(tick(clock))
    await clock.advance(60)
    assert await ticking == began + 60


async def metrics_example() -> None:
    def count(metrics: Metrics, path: str) -> None:
        metrics.counter("mlpatterns_refused_total", "Requests that were refused.", piece=path).inc()

    async with running(CountingModel()) as app:
        count(app.metrics, "iris/limit")
        refused = app.metrics.counter("mlpatterns_refused_total", "Requests that were refused.", piece="iris/limit")
        assert refused.value == 1


async def metric_series_example() -> None:
    class Timed(Wrapper):
        async def start(self, runtime: Runtime) -> None:
            name, meaning = "mlpatterns_timed_seconds", "Seconds of the model."
            self.seconds: MetricSeries = runtime.metrics.histogram(name, meaning, piece=runtime.path)
            self.clock = runtime.clock

        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            began = self.clock.monotonic()
            response = await self.inner.predict(request)
            self.seconds.observe(self.clock.monotonic() - began)
            return response

    async with running(timed := Timed(CountingModel())):
        await timed.predict(request([[1, 2]]))


async def shared_example() -> None:
    class Paused(Wrapper):
        async def start(self, runtime: Runtime) -> None:
            self.paused: Shared[bool] = await runtime.shared("paused", bool, False)

    async with running(piece := Paused(CountingModel())):
        await piece.paused.change(lambda paused: not paused, by="ann")
        assert piece.paused.document.value


async def document_example() -> None:
    async with running(CountingModel()) as app:
        document: Document[int] = await app.control.put("limit", 3, expected=None, by="ann")
    assert (document.value, document.revision, document.by) == (3, 1, "ann")


async def control_store_example() -> None:
    async def raise_limit(control: ControlStore) -> None:
        (document,) = (await control.get_many(["limit"])).values()
        await control.put("limit", document.value + 1, expected=document.revision, by="ann")

    async with running(CountingModel()) as app:
        await app.control.put("limit", 3, expected=None, by="ann")
        await raise_limit(app.control)
        assert [document.value for document in await app.control.history("limit")] == [4, 3]


async def streamed_example() -> None:
    async def rows() -> AsyncIterator[bytes]:
        yield b"[1,"
        yield b"2]"

    output = Streamed(rows())
    assert b"".join([chunk async for chunk in output.chunks]) == b"[1,2]"


def array_example() -> None:
    def total(array: Array) -> float:
        return float(array.sum())

    assert total(np.ones((2, 3))) == 6


def ended_example() -> None:
    asked, clock = request([[1, 2]]), FakeClock()
    assert ended(DeadlineExceeded(), asked, clock) == "DEADLINE"
    assert ended(asyncio.CancelledError(), asked, clock) == "CLIENT_LEFT"
