"""One batch run: read, predict and write at the same time, a page each, from the checkpoint to the end.

Memory is bounded by three pages. What a page's rows came to and how far the run is are written together, so a run that
was killed at any moment goes on as if nothing had been.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import Conflict, UnknownName
from mlpatterns.ids import new_id
from mlpatterns.interfaces import Clock
from mlpatterns.predictor import Predictor
from mlpatterns.programs.batch_ask import BatchAsk
from mlpatterns.programs.batch_inputs import BatchInputs
from mlpatterns.programs.batch_outputs import BatchOutputs
from mlpatterns.stores.batch import BatchRun, BatchSink, BatchSource, Cells, Failure, Page, Results, Shape
from mlpatterns.stores.batch.where import Comparison, parse_where

__all__ = ["BatchPlan", "BatchProgress", "run_batch"]

log = logging.getLogger("mlpatterns")

FIRST_ROWS = 256  # of the first page, which shows how large a row is
PAGE_BYTES = 16 * 2**20


class BatchPlan(Struct, frozen=True):
    """What a run is to do.

    Attributes:
        where: which rows; see stores/batch_where.py.
        into: the column of the source itself that predictions go into: rows that have one are done.
        restart: begin anew, whatever an earlier run did.
        batch_rows: rows to ask the model for at once; by default the best is found in the first second.
        retry_seconds: how long a model that is unavailable is asked again before the run gives up.
        call_seconds: that one call of the model may take.
    """

    where: str = ""
    into: str | None = None
    restart: bool = False
    batch_rows: int | None = None
    retry_seconds: float = 300.0
    call_seconds: float = 60.0


class BatchProgress(Struct, frozen=True):
    """How far a run is: rows predicted and failed, of how many if that is known, and rows a second of this process.

    Attributes:
        predicted, failed: rows of the page that was just worked on.
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
        SettingsError, UnknownName: the source does not have what the model takes.
        Conflict: an unfinished run is another model's, or of another source or condition; or another writes meanwhile.
        Unavailable: a store, or for `retry_seconds` the model, does not answer; a later run goes on from there.
    """
    where = parse_where(plan.where)
    if plan.into:
        where = (*where, Comparison(plan.into, "=", None))
    shape = await source.shape()
    for name in (comparison.column for comparison in where):  # before anything says that a run began
        if name not in (names := [shape.key.name, *(column.name for column in shape.columns)]):
            raise UnknownName("column", name, names)
    described = predictor.metadata
    inputs, outputs = BatchInputs(described, shape, plan.into), BatchOutputs(described, shape.key.name, plan.into)
    identity = predictor.identity() or f"{described.name}:{described.version}"
    before = await sink.load()
    run, anew = planned(before, plan, shape, identity, f"{described.name}:{described.version}", clock.time())
    if run is None:
        log.info("nothing to predict: an earlier run predicted all of it")
        return None
    total = await source.count(run.after, where)
    log.info("rows to predict: %s", "not known yet" if total is None else total)
    if total == 0 and before is not None and run.status == "finished":
        return None
    run = await sink.begin(replace(run, status="running"), shape.key, outputs.columns, anew=anew)
    ask = BatchAsk(predictor, identity, clock, plan)
    began, first = clock.monotonic(), run.rows + run.failed
    total = None if total is None else total + first
    async with aclosing(_pages(source, inputs.columns, where, run, sink.page_rows)) as pages:
        writing: asyncio.Task[BatchRun] | None = None
        try:
            async for page in pages:
                results = await _predicted(page, inputs, outputs, ask)
                if writing is not None:
                    run = await writing
                run = _after(run, page, results, sink.page_rows, clock.time())
                writing = asyncio.create_task(sink.write(run, results))
                done = run.rows + run.failed - first
                rate = done / max(clock.monotonic() - began, 1e-9)
                report(BatchProgress(run, len(results.keys), len(results.failures), total, rate))
            if writing is not None:
                run = await writing
        finally:
            await _settled(writing)
    run = await sink.finish(replace(run, at=clock.time()))
    seconds = max(clock.monotonic() - began, 1e-9)
    done = run.rows + run.failed - first
    log.info("finished batch: %d rows predicted, %d failed, %.0f rows/s", run.rows, run.failed, done / seconds)
    return run


def planned(
    before: BatchRun | None, plan: BatchPlan, shape: Shape, identity: str, model: str, now: float
) -> tuple[BatchRun | None, bool]:
    """The run to go on with or to begin, and whether results of earlier ones go; None if there is nothing to do.

    Raises:
        Conflict: see run_batch.
    """
    fresh = BatchRun(new_id(), identity, model, shape.digest, plan.where, began=now, at=now)
    if before is None:
        return fresh, plan.restart
    fresh = replace(fresh, revision=before.revision)
    if plan.restart:
        return fresh, True
    if before.status == "finished":
        if shape.digest:  # a file: it is the same, or it is a new one and so are its results
            return (None, False) if _same(before, fresh) else (fresh, True)
        if plan.into:
            return replace(fresh, status="finished"), False
        if before.where != plan.where:
            raise Conflict(
                f"the rows up to {before.after!r} were chosen by {before.where or 'no condition'}; restart the run to "
                "choose anew"
            )
        # A table that grows: what came after the last key.
        return replace(fresh, after=before.after, rows=before.rows, failed=before.failed, status="finished"), False
    for what, then, asked in (
        ("model", before.identity, identity),
        ("input", before.digest, shape.digest),
        ("condition", before.where, plan.where),
    ):
        if then != asked:
            raise Conflict(
                f"an unfinished run over {before.rows + before.failed} rows had another {what}"
                f"{f', {before.model}' if what == 'model' else ''}; finish it with that one, or restart it"
            )
    log.info("going on after %d rows of an unfinished run", before.rows + before.failed)
    return before, False


def _same(before: BatchRun, fresh: BatchRun) -> bool:
    return (before.identity, before.digest, before.where) == (fresh.identity, fresh.digest, fresh.where)


async def _pages(
    source: BatchSource, columns: Sequence[str], where: Sequence[Comparison], run: BatchRun, most: int
) -> AsyncGenerator[Page, None]:
    """Pages from where the run is; the next one is read while the caller works on one."""
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
    """Rows of the next pages, by the size of those in the first."""
    size = sum(sum(_size(cell) for cell in column) for column in page.columns.values()) / max(1, len(page.keys))
    return int(max(1, min(most, PAGE_BYTES / max(1.0, size))))


def _size(cell: Any) -> int:
    if isinstance(cell, str | bytes):
        return len(cell)
    return 8 * len(cell) if hasattr(cell, "__len__") else 8


async def _predicted(page: Page, inputs: BatchInputs, outputs: BatchOutputs, ask: BatchAsk) -> Results:
    arrays, right, wrong = inputs.of(page)
    failures = [Failure(page.keys[place], "INVALID", sentence) for place, sentence in sorted(wrong.items())]
    answered, refused = await ask.rows(arrays, len(right), outputs.names)
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
    """Waits for the end of what cannot be stopped; its error, if any, is another's to tell."""
    if task is not None:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
