"""The program of a BatchJob: at the start, on schedule, when asked; one in the deployment."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from core import CALLER
from mlpatterns.errors import Unavailable
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.pieces.batch_job.batch_job import BatchJob, FailuresQuery, RunCommand
from mlpatterns.pieces.batch_job.items import ItemsQuery
from mlpatterns.programs.batch_job import BatchStores
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, request
from mlpatterns.user_errors import CompositionError, SettingsError
from unit.programs.batch_doubles import ListSink, ListSource

HOUR = 3600.0
ROWS = [(1.0, 2.0), (3.0, 4.0)]


class Jobs(BatchJob):
    """One whose rows are in memory; it has no table of its own."""

    def __init__(self, source: ListSource, sink: ListSink, **options: Any) -> None:
        super().__init__(CountingModel(fields=("a", "b")), source="in.csv", sink="out.csv", **options)
        self.rows_read, self.rows_written = source, sink

    async def start(self, runtime: Any) -> None:
        await super().start(runtime)
        self._program.places = BatchStores(self.rows_read, self.rows_written)
        self._sink = self.rows_written


def scene(job: BatchJob, work: Callable[[AppRuntime, FakeClock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = FakeClock(time=1_700_000_000.0 - 1_700_000_000 % HOUR + 600)  # ten minutes past an hour
        async with running(job, settings=Settings(control="memory://"), clock=clock) as runtime:
            await runtime.run_programs([("job", job)])
            await work(runtime, clock)

    asyncio.run(main())


async def passed(clock: FakeClock, seconds: float) -> None:
    for _ in range(int(seconds // 10)):
        await clock.advance(10.0)
        await asyncio.sleep(0)


def test_it_runs_at_the_start_and_then_by_its_schedule() -> None:
    source, sink = ListSource(ROWS), ListSink()

    async def work(runtime: AppRuntime, clock: FakeClock) -> None:
        await passed(clock, 10)
        assert [key for key, _ in sink.rows] == [1, 2]
        source.rows.append((5.0, 6.0))
        await passed(clock, 40)  # not yet a minute
        assert len(sink.rows) == 2
        await passed(clock, 20)
        assert [key for key, _ in sink.rows] == [1, 2, 3]
        source.rows.append((5.0, 6.0))
        await passed(clock, 60)
        assert len(sink.rows) == 4
        counted = runtime.metrics.counter(
            "mlpatterns_batch_rows_total", "Rows of batch runs.", piece="job", result="predicted"
        )
        assert counted.value == 4

    scene(Jobs(source, sink, cron="* * * * *"), work)


def test_it_runs_when_asked_and_begins_anew_when_asked_so() -> None:
    source, sink = ListSource(ROWS), ListSink()
    job = Jobs(source, sink)

    async def work(runtime: AppRuntime, clock: FakeClock) -> None:
        await passed(clock, 10)
        source.rows.append((5.0, 6.0))
        await passed(clock, 120)
        assert len(sink.rows) == 2  # no schedule
        await job._ask(RunCommand(), CALLER)
        await passed(clock, 10)
        assert len(sink.rows) == 3
        before = sink.run
        await job._ask(RunCommand(restart=True), CALLER)
        await passed(clock, 10)
        assert len(sink.rows) == 3
        assert before is not None
        assert sink.run is not None
        assert sink.run.run_id != before.run_id
        state = await job._state(None, CALLER)
        assert state.run == sink.run
        assert await job._failures(FailuresQuery(), CALLER) == []

    scene(job, work)


def test_a_run_that_breaks_is_started_anew_and_shows_meanwhile() -> None:
    source, sink = ListSource(ROWS), ListSink(0, Unavailable("the disk is full"))

    async def work(runtime: AppRuntime, clock: FakeClock) -> None:
        await passed(clock, 10)
        assert any("batch of job fails" in trouble for trouble in runtime.trouble())
        sink.error = None
        await passed(clock, 60)
        assert [key for key, _ in sink.rows] == [1, 2]
        assert runtime.trouble() == []

    scene(Jobs(source, sink), work)


def test_requests_pass_through_and_the_table_is_only_asked_by_operations(tmp_path: Path) -> None:
    model = CountingModel()
    job = BatchJob(model, source=f"sqlite:///{tmp_path / 'no' / 'items.db'}")
    assert {operation.name for operation in job.operations} == {
        "batch", "batch/failures", "batch/run", "data/all", "data/predicted", "data/unpredicted", "data/add",
    }  # fmt: skip
    (program,) = job.programs
    assert program.exclusive

    async def main() -> None:
        async with running(job, settings=Settings(control="memory://")):
            assert (await job._state(None, CALLER)).run is None
            assert job._items is not None
            with pytest.raises(Unavailable):
                await job._items._all(ItemsQuery(), CALLER)
            assert (await job.predict(request([[1.0, 2.0]]))).outputs["probabilities"].tolist() == [[3.0]]

    asyncio.run(main())
    assert not (tmp_path / "no").exists()


class Pair(CountingModel):
    """A model of two inputs."""

    @property
    def metadata(self) -> ModelMetadata:
        one = super().metadata
        return replace(one, inputs=(*one.inputs, TensorSpec("other", "FP32", (-1, 1))))


def test_a_model_of_several_inputs_needs_a_table_of_theirs(tmp_path: Path) -> None:
    """The table that is made for others has one column, from which it could read nothing."""
    with closing(sqlite3.connect(tmp_path / "own.db")) as database:
        database.execute("CREATE TABLE pairs (id INTEGER PRIMARY KEY, input REAL, other REAL, prediction TEXT)")

    async def fill(file: str) -> None:
        job = BatchJob(Pair(), source=f"sqlite:///{tmp_path / file}?table=pairs", rows=lambda _: [[1.0]])
        async with running(job, settings=Settings(control="memory://")):
            await job._fill()

    with pytest.raises(CompositionError, match="make one with the columns input, other and prediction"):
        asyncio.run(fill("none.db"))
    asyncio.run(fill("own.db"))


def test_what_a_database_says_of_itself_does_not_reach_who_asks(tmp_path: Path) -> None:
    (tmp_path / "items.db").write_text("this is not a database" * 100)
    job = BatchJob(CountingModel(), source=f"sqlite:///{tmp_path / 'items.db'}")

    async def main() -> None:
        async with running(job, settings=Settings(control="memory://")):
            for asked in (job._state(None, CALLER), job._failures(FailuresQuery(), CALLER)):
                with pytest.raises(Unavailable) as caught:
                    await asked
                assert str(caught.value) == "the store of the results does not answer; try again later"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"where": "a ="}, SettingsError),
        ({"cron": "now and then"}, SettingsError),
        ({"batch_rows": 0}, CompositionError),
        ({"sink": "out.csv", "rows": lambda described: []}, CompositionError),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_written(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        BatchJob(CountingModel(), **options)


def test_the_rows_of_a_file_are_not_predicted_in_place() -> None:
    async def main() -> None:
        async with running(BatchJob(CountingModel(), source="in.csv"), settings=Settings(control="memory://")):
            raise AssertionError("it started")

    with pytest.raises(CompositionError, match="give a sink"):
        asyncio.run(main())
