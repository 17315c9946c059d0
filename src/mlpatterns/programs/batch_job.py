"""The program of a BatchJob: a run at the start, and then at each scheduled time and at each request. Only the process
that holds the lease executes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import NotStarted, Unavailable
from mlpatterns.interfaces import Clock, Document, Shared
from mlpatterns.predictor import Predictor, Runtime
from mlpatterns.programs.batch_plan import BatchPlan
from mlpatterns.programs.batch_run import BatchProgress, Report, run_batch
from mlpatterns.programs.schedule import next_time
from mlpatterns.stores.batch import BatchSink, BatchSource

__all__ = ["BatchProgram", "BatchStores", "RunRequests"]

log = logging.getLogger("mlpatterns")

LOOK = 0.2  # seconds between checks of whether the model is ready
MOST_SLEEP = 30.0  # seconds; short, because the clock may be set and the machine may sleep


class RunRequests(Struct, frozen=True):
    """The shared document that requests a run.

    Attributes:
        times: the number of runs requested so far.
        restart: whether the last request asked for a run that begins anew.
    """

    times: int = 0
    restart: bool = False


class BatchStores(Struct, frozen=True):
    """The stores of the rows and of the results."""

    source: BatchSource
    sink: BatchSink


class BatchProgram:
    """Runs `plan` at the start, at the scheduled times and at each request.

    Args:
        predictor: predicts the rows.
        plan: the options of a run.
        cron: the schedule as a cron expression in UTC, or None.
        report: called after each page.
    """

    name = "batch"
    exclusive = True

    def __init__(self, predictor: Predictor, plan: BatchPlan, cron: str | None, report: Report | None = None) -> None:
        self._predictor, self._plan, self._cron, self._report = predictor, plan, cron, report
        self.places: BatchStores
        self.asked: Shared[RunRequests]
        self.prepare: Callable[[], Awaitable[None]] | None = None  # called before the first run

    async def run(self, runtime: Runtime) -> None:
        told = asyncio.Event()
        self.asked.watch(lambda document: told.set())
        seen = _times(self.asked)
        log.info("waiting for batch to start")
        await runtime.start_tree(self._predictor)
        await _ready(self._predictor, runtime.clock)
        if self.prepare is not None:
            await self.prepare()
        plan = self._plan
        while True:
            log.info("starting batch")
            await run_batch(
                self._predictor, self.places.source, self.places.sink, plan, runtime.clock, self._counted(runtime)
            )
            plan = replace(self._plan, restart=False)
            while True:
                told.clear()
                document = _document(self.asked)
                if document is not None and document.value.times > seen:
                    seen = document.value.times
                    plan = replace(plan, restart=document.value.restart)
                    break
                if await self._due(runtime.clock, told):
                    break

    async def _due(self, clock: Clock, told: asyncio.Event) -> bool:
        """Waits for the next scheduled time; False if a run may have been requested before it."""
        now = clock.time()
        at = next_time(self._cron, now) if self._cron else None
        if at is not None:
            log.info("the next batch is at %s", datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"))
        asked = asyncio.ensure_future(told.wait())
        try:
            while at is None or clock.time() < at:
                wait = MOST_SLEEP if at is None else min(MOST_SLEEP, max(0.0, at - clock.time()))
                pause = asyncio.ensure_future(clock.sleep(wait))
                try:
                    await asyncio.wait([asked, pause], return_when="FIRST_COMPLETED")
                finally:
                    pause.cancel()
                if asked.done():
                    return False
            return True
        finally:
            asked.cancel()

    def _counted(self, runtime: Runtime) -> Report:
        metrics, path = runtime.metrics, runtime.path
        rows, failed = (
            metrics.counter("mlpatterns_batch_rows_total", "Rows of batch runs.", piece=path, result=result)
            for result in ("predicted", "failed")
        )

        def report(progress: BatchProgress) -> None:
            rows.inc(progress.predicted)
            failed.inc(progress.failed)
            if self._report is not None:
                self._report(progress)

        return report


async def _ready(predictor: Predictor, clock: Clock) -> None:
    while True:
        try:
            _ = predictor.metadata
            return
        except NotStarted:
            await clock.sleep(LOOK)


def _document(asked: Shared[RunRequests]) -> Document[RunRequests] | None:
    try:
        return asked.document
    except Unavailable:  # it has not been read yet, so it contains no request
        return None


def _times(asked: Shared[RunRequests]) -> int:
    document = _document(asked)
    return 0 if document is None else document.value.times
