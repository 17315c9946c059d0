"""BatchJob: predicts every row of a table or a file, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import Any

from msgspec import Struct

from mlpatterns.base import Wrapper
from mlpatterns.errors import NotStarted, PredictionError, Unavailable
from mlpatterns.metadata import ModelMetadata
from mlpatterns.pieces import piece
from mlpatterns.pieces.batch_job.items import ItemOperations
from mlpatterns.predictor import Caller, Operation, Predictor, Program, Runtime
from mlpatterns.programs.batch_job import BatchProgram, BatchStores, RunRequests
from mlpatterns.programs.batch_plan import BatchPlan
from mlpatterns.programs.batch_run import Report
from mlpatterns.programs.schedule import check_cron
from mlpatterns.redaction import redact
from mlpatterns.stores.batch import BatchItems, BatchRun, BatchSink, BatchSource, Failure
from mlpatterns.stores.batch.files import SUFFIXES, batch_url
from mlpatterns.stores.batch.where import parse_where
from mlpatterns.user_errors import CompositionError, UnknownName, UserError

__all__ = ["BatchJob"]

PREDICTION = "prediction"
MOST_FAILURES = 1000  # in one answer


class BatchState(Struct, frozen=True):
    """Source and sink, the schedule, and the last run, if there was one."""

    source: str
    sink: str
    cron: str | None
    run: BatchRun | None


class RunCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """`restart`: delete earlier results and start over, whatever an earlier run did."""

    restart: bool = False


class FailuresQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many failures to list."""

    limit: int = 100


@piece(lambda inner, _: BatchJob(inner))
class BatchJob(Wrapper):
    """Passes requests to `predictor`, while a program predicts the rows of `source` and writes the results to `sink`.

    The program runs when the app starts, at the times of `cron`, and after each command `batch/run`. It reads, predicts
    and writes pages concurrently, in constant memory. A run that was killed continues where it stopped, and each row is
    written once. A row that the model refuses goes to a table or a file of errors.

    `BatchInputs` and `BatchOutputs` in `programs/` describe how columns become inputs, and how outputs become columns.

    Args:
        predictor: predicts the rows, and answers requests.
        source: the URL of a BatchSource, or a path that ends with `.csv` or `.parquet`; by default the setting `batch`.
        sink: the URL or path of a BatchSink. None writes the predictions as JSON into the column `prediction` of the
            source, which must be a table; rows that already have a prediction are skipped.
        where: the condition that selects rows, e.g. ``species = 'setosa' and petal_length > 1.5``.
        cron: a cron expression of five fields, in UTC.
        rows: makes the initial rows, a list of inputs, from the metadata of the model. It is called if the table is
            predicted in place and does not exist. A model with several inputs needs an existing table.
        batch_rows: the rows in one call to the model; by default the run finds the best number in its first second.
        restart: whether the first run deletes earlier results and starts over, whatever an earlier run did.
        report: a function that is called after each page.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: `rows` is given for a table that is not predicted in place, or `batch_rows` is less than 1.
        SettingsError: `where`, `cron` or a URL is malformed.
        MissingExtra: at the start: the driver of a database or of Parquet is not installed.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        source: str | None = None,
        sink: str | None = None,
        where: str = "",
        cron: str | None = None,
        rows: Callable[[ModelMetadata], Sequence[Any]] | None = None,
        batch_rows: int | None = None,
        restart: bool = False,
        report: Report | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        if rows is not None and sink is not None:
            raise CompositionError("`rows` is for a table that is predicted in place; remove the sink")
        if batch_rows is not None and batch_rows < 1:
            raise CompositionError("batch_rows must be at least 1")
        parse_where(where)
        if cron is not None:
            check_cron(cron)
        self.source, self.sink, self.where, self.cron, self.rows = source, sink, where, cron, rows
        into = PREDICTION if sink is None else None
        plan = BatchPlan(where=where, into=into, restart=restart, batch_rows=batch_rows)
        self._program = BatchProgram(predictor, plan, cron, report)
        self.programs: Sequence[Program] = (self._program,)
        self._items = ItemOperations() if into else None
        self.operations = (
            Operation("batch", "query", "public", NoneType, BatchState, self._state),
            Operation("batch/failures", "query", "public", FailuresQuery, list[Failure], self._failures),
            Operation("batch/run", "command", "token", RunCommand, RunRequests, self._ask),
            *(self._items.operations if self._items else ()),
        )

    async def start(self, runtime: Runtime) -> None:
        self._clock = runtime.clock
        source = batch_url(self.source or runtime.settings.batch_url)
        sink = batch_url(self.sink) if self.sink else _in_place(source)
        self._shown = redact(source), redact(sink)
        rows = await runtime.store(BatchSource, source)  # type: ignore[type-abstract]
        self._sink = await runtime.store(BatchSink, sink)  # type: ignore[type-abstract]
        self._asked = await runtime.shared("asked", RunRequests, RunRequests())
        self._program.places, self._program.asked = BatchStores(rows, self._sink), self._asked
        if self._items is not None:
            items = await runtime.store(BatchItems, sink)  # type: ignore[type-abstract]
            self._items.start(rows, items)
            if self.rows is not None:
                self._table, self._rows = items, rows
                self._program.prepare = self._fill
                runtime.keep("make the table", self._fill_if_started)

    async def _fill(self) -> None:
        """Creates the table if it does not exist; the model must be ready."""
        assert self.rows is not None
        described = self.inner.metadata
        if len(described.inputs) > 1:
            await self._require_table(described)
        else:
            await self._table.fill(self.rows(described))

    async def _require_table(self, described: ModelMetadata) -> None:
        """Checks that the table exists. A created table has a single input column, too few for several inputs."""
        try:
            await self._rows.shape()
        except UnknownName as error:
            columns = ", ".join(spec.name for spec in described.inputs)
            raise CompositionError(
                f"{self.inner.name} takes several inputs, and there is no table of them yet; "
                f"make one with the columns {columns} and {PREDICTION}, and name it by MLPATTERNS_BATCH"
            ) from error

    async def _fill_if_started(self) -> None:
        """Creates the table if the model is ready in this process; otherwise the program creates it."""
        try:
            await self._fill()
        except NotStarted:
            return

    # ---- operations ----

    async def _state(self, _: None, caller: Caller) -> BatchState:
        """Source, sink and schedule, and the progress of the last run."""
        source, sink = self._shown
        with _without_internals():
            return BatchState(source, sink, self.cron, await self._sink.load())

    async def _failures(self, query: FailuresQuery, caller: Caller) -> list[Failure]:
        """The first rows that could not be predicted, and why."""
        with _without_internals():
            return await self._sink.failures(max(0, min(query.limit, MOST_FAILURES)))

    async def _ask(self, command: RunCommand, caller: Caller) -> RunRequests:
        """Requests a run now; the process that holds the lease runs it."""
        document = await self._asked.change(
            lambda before: RunRequests(before.times + 1, command.restart), by=caller.principal or "admin"
        )
        return document.value


@contextmanager
def _without_internals() -> Iterator[None]:
    """Hides the error texts of a database from callers; the log has them."""
    try:
        yield
    except (PredictionError, UserError) as error:
        raise Unavailable("the store of the results does not answer; try again later", retry_after=1) from error


def _in_place(source: str) -> str:
    if source.partition(":")[0] in SUFFIXES:
        raise CompositionError("the rows of a file cannot be predicted in place; give a sink")
    return f"{source}{'&' if '?' in source else '?'}into={PREDICTION}"
