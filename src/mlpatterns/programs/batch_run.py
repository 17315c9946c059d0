"""One batch run: it reads, predicts and writes pages at the same time, from the checkpoint to the end.

At most three pages are in memory. The results of a page and the progress of the run are written together, so a run
that was killed at any moment continues without loss or repetition.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.interfaces import Clock
from mlpatterns.predictor import Predictor
from mlpatterns.programs.batch_caller import BatchCaller
from mlpatterns.programs.batch_inputs import BatchInputs
from mlpatterns.programs.batch_outputs import BatchOutputs
from mlpatterns.programs.batch_plan import BatchPlan, next_run
from mlpatterns.stores.batch import BatchRun, BatchSink, BatchSource, Cells, Failure, Page, Results, Shape
from mlpatterns.stores.batch.where import Comparison, parse_where
from mlpatterns.user_errors import UnknownName

__all__ = ["BatchProgress", "Report", "run_batch"]

log = logging.getLogger("mlpatterns")

FIRST_ROWS = 256  # rows of the first page, from which the size of a row is estimated
PAGE_BYTES = 16 * 2**20


class BatchProgress(Struct, frozen=True):
    """The progress of a run after a page.

    Attributes:
        run: the run, with the rows predicted and failed so far.
        predicted, failed: the rows of the last page.
        total: the rows of the whole run, or None if not known.
        rate: the rows per second of this process.
    """

    run: BatchRun
    predicted: int
    failed: int
    total: int | None
    rate: float


Report = Callable[[BatchProgress], None]


async def run_batch(
    predictor: Predictor, source: BatchSource, sink: BatchSink, plan: BatchPlan, clock: Clock, report: Report
) -> BatchRun | None:
    """Predicts all rows that are not predicted yet; None if there was nothing to do.

    Raises:
        SettingsError, UnknownName: the source lacks a column that the model or the condition needs.
        Conflict: an unfinished run has another model, source or condition; or another process writes at the same time.
        Unavailable: a store does not answer, or the model does not for `retry_seconds`; a later run continues.
        CompositionError: the predictor answers with a job instead of a result.
    """
    shape = await source.shape()
    where = _where(plan, shape)
    described = predictor.metadata
    inputs, outputs = BatchInputs(described, shape, plan.into), BatchOutputs(described, shape.key.name, plan.into)
    model = f"{described.name}:{described.version}"
    identity = predictor.identity() or model
    before = await sink.load()
    run, anew = next_run(before, plan, shape, identity, model, clock.time())
    if run is None:
        log.info("nothing to predict: an earlier run predicted all rows")
        return None
    left = await source.count(run.after, where)
    log.info("rows to predict: %s", "not known yet" if left is None else left)
    if left == 0 and before is not None and run.status == "finished":
        return None
    run = await sink.begin(replace(run, status="running"), shape.key, outputs.columns, anew=anew)
    calls = BatchCaller(predictor, identity, clock, plan)
    pace = Pace(run, left, clock)
    async with aclosing(_pages(source, inputs.columns, where, run, sink.page_rows)) as pages:
        writing: asyncio.Task[BatchRun] | None = None
        try:
            async for page in pages:
                results = await _predicted(page, inputs, outputs, calls)
                if writing is not None:
                    run = await writing
                run = _after(run, page, results, sink.page_rows, clock.time())
                writing = asyncio.create_task(sink.write(run, results))
                report(pace.progress(run, results))
            if writing is not None:
                run = await writing
        finally:
            await _settled(writing)
    run = await sink.finish(replace(run, at=clock.time()))
    log.info("finished batch: %d rows predicted, %d failed, %.0f rows/s", run.rows, run.failed, pace.rate(run))
    return run


class Pace:
    """How fast this process works on a run, which an earlier process may have begun.

    Args:
        run: the run as this process found it.
        left: the rows that are still to be predicted, if known.
    """

    def __init__(self, run: BatchRun, left: int | None, clock: Clock) -> None:
        self._clock, self._began, self._before = clock, clock.monotonic(), run.rows + run.failed
        self._total = None if left is None else left + self._before

    def rate(self, run: BatchRun) -> float:
        """Rows per second."""
        return (run.rows + run.failed - self._before) / max(self._clock.monotonic() - self._began, 1e-9)

    def progress(self, run: BatchRun, results: Results) -> BatchProgress:
        """The progress to report after the page with these `results`."""
        return BatchProgress(run, len(results.keys), len(results.failures), self._total, self.rate(run))


def _where(plan: BatchPlan, shape: Shape) -> tuple[Comparison, ...]:
    """The condition on the rows, checked before the run begins.

    Raises:
        UnknownName: the source has no such column.
    """
    where = parse_where(plan.where)
    if plan.into:
        where = (*where, Comparison(plan.into, "=", None))
    names = [shape.key.name, *(column.name for column in shape.columns)]
    for comparison in where:
        if comparison.column not in names:
            raise UnknownName("column", comparison.column, names)
    return where


async def _pages(
    source: BatchSource, columns: Sequence[str], where: Sequence[Comparison], run: BatchRun, most: int
) -> AsyncGenerator[Page, None]:
    """The pages after the checkpoint of the run; the next page is read while the caller works on one."""
    rows, after = run.page_rows or FIRST_ROWS, run.after
    reading = asyncio.create_task(source.read(columns, after, rows, where))
    try:
        while (page := await reading) is not None:
            if rows == FIRST_ROWS and not run.page_rows:
                rows = page_rows(page, most)
            reading = asyncio.create_task(source.read(columns, page.after, rows, where))
            yield page
    finally:
        await _settled(reading)


def page_rows(page: Page, most: int) -> int:
    """The rows of the next pages, by the size of the rows in the first."""
    size = sum(sum(_size(cell) for cell in column) for column in page.columns.values()) / max(1, len(page.keys))
    return int(max(1, min(most, PAGE_BYTES / max(1.0, size))))


def _size(cell: Any) -> int:
    if isinstance(cell, str | bytes):
        return len(cell)
    return 8 * len(cell) if hasattr(cell, "__len__") else 8


async def _predicted(page: Page, inputs: BatchInputs, outputs: BatchOutputs, calls: BatchCaller) -> Results:
    arrays, right, wrong = inputs.of(page)
    failures = [Failure(page.keys[place], "INVALID", sentence) for place, sentence in sorted(wrong.items())]
    answered, refused = await calls.rows(arrays, len(right), outputs.names)
    failures += [Failure(page.keys[right[place]], code, sentence) for place, code, sentence in refused]
    keys: Sequence[Any] = page.keys
    columns: dict[str, Cells] = {column.name: [] for column in outputs.columns}
    if len(refused) < len(right):
        if failures:
            bad = {place for place, _, _ in refused}
            keys = [page.keys[place] for number, place in enumerate(right) if number not in bad]
        columns = outputs.of(answered)
    else:
        keys = []
    return Results(keys, columns, failures)


def _after(run: BatchRun, page: Page, results: Results, most: int, now: float) -> BatchRun:
    rows, failed = run.rows + len(results.keys), run.failed + len(results.failures)
    size = run.page_rows or page_rows(page, most)
    return replace(run, after=page.after, rows=rows, failed=failed, at=now, page_rows=size)


async def _settled(task: asyncio.Task[Any] | None) -> None:
    """Waits for the end of a task that cannot be stopped; its error is reported elsewhere."""
    if task is not None:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
