"""Runs the batches of `mlpatterns batch run`: once with progress, or by a schedule until SIGTERM."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from mlpatterns.cli.output import note, say
from mlpatterns.errors import Conflict, PredictionError
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.pieces.batch_job.batch_job import BatchJob
from mlpatterns.programs.batch_plan import BatchPlan
from mlpatterns.programs.batch_run import BatchProgress, Report, run_batch
from mlpatterns.runtime import running
from mlpatterns.settings import load_settings
from mlpatterns.stores.batch import BatchRun, BatchSink, BatchSource
from mlpatterns.stores.batch.files import batch_url
from mlpatterns.user_errors import UserError

__all__ = ["run_once", "run_scheduled"]

LINE_SECONDS = 5.0  # seconds between two lines about a run, if standard error is not a terminal


def run_once(model: str, source: str, sink: str, *, where: str, restart: bool, batch_rows: int | None) -> None:
    """Runs one batch to its end and prints the result.

    Raises:
        UserError: the run stopped; the same command continues it later, except after a Conflict.
    """
    plan = BatchPlan(where=where, restart=restart, batch_rows=batch_rows)
    with _progress() as report:
        try:
            done = asyncio.run(_once(OnnxModel(model), batch_url(source), batch_url(sink), plan, report))
        except Conflict as error:  # the same command would fail again
            raise UserError(str(error)) from error
        except PredictionError as error:
            raise UserError(f"{error}; the same command continues where this run stopped") from error
    if done is None:
        say("nothing to predict: an earlier run predicted all rows; --restart predicts them again")
        return
    say(f"{done.rows} rows predicted, {done.failed} failed, by {done.model}, in {max(0.0, done.at - done.began):.1f} s")
    if done.failed:
        say("the failed rows and their errors are next to the results: in *.errors.csv, or the table *_errors")


def run_scheduled(
    model: str, source: str, sink: str, *, where: str, cron: str, restart: bool, batch_rows: int | None
) -> None:
    """Runs the job by its schedule without a server, as `mlpatterns work` runs programs."""
    from mlpatterns.launch.listening import NoPorts
    from mlpatterns.launch.worker import run_worker
    from mlpatterns.server.app import serve

    job = BatchJob(
        OnnxModel(model), source=batch_url(source), sink=batch_url(sink), where=where, cron=cron, restart=restart,
        batch_rows=batch_rows,
    )  # fmt: skip
    app = serve(lambda: job)
    app.programs_only = True
    run_worker(app, load_settings().settings, title="the batch process", ports=NoPorts())


async def _once(predictor: OnnxModel, source: str, sink: str, plan: BatchPlan, report: Report) -> BatchRun | None:
    settings = replace(load_settings().settings, control="memory://")
    async with running(predictor, settings=settings) as runtime:
        rows = await runtime.store(BatchSource, source)  # type: ignore[type-abstract]
        results = await runtime.store(BatchSink, sink)  # type: ignore[type-abstract]
        return await run_batch(predictor, rows, results, plan, runtime.clock, report)


@contextmanager
def _progress() -> Iterator[Report]:
    """Shows the progress on standard error: a bar on a terminal, else plain lines."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(progress: BatchProgress) -> None:
            run = progress.run
            bar.update(task, completed=run.rows + run.failed, total=progress.total, description=_rate(progress))

        yield show


class _Lines:
    def __init__(self) -> None:
        self._last_printed = 0.0

    def __call__(self, progress: BatchProgress) -> None:
        run = progress.run
        if run.at - self._last_printed >= LINE_SECONDS:
            self._last_printed = run.at
            total = "" if progress.total is None else f" of {progress.total}"
            note(f"{run.rows + run.failed}{total} rows, {_rate(progress)}")


def _rate(progress: BatchProgress) -> str:
    failed = f", {progress.run.failed} failed" if progress.run.failed else ""
    return f"{progress.rate:,.0f} rows/s{failed}"
