"""A batch run: each row once, bad ones apart, on from where it was, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns.errors import (
    Conflict,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    Overloaded,
    PredictionError,
    Unavailable,
)
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.programs import batch_run
from mlpatterns.programs.batch_plan import BatchPlan
from mlpatterns.programs.batch_run import BatchProgress, run_batch
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores.batch import BatchRun
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel
from mlpatterns.user_errors import CompositionError
from unit.programs.batch_doubles import ListSink, ListSource

NUMBERS = [(float(number), 0.5) for number in range(1000)]
SUMS = [(key, a + b) for key, (a, b) in enumerate(NUMBERS, 1)]
PLAN = BatchPlan(batch_rows=64)


def counting(**options: Any) -> CountingModel:
    return CountingModel(fields=("a", "b"), **options)


def started(model: Predictor, work: Coroutine[Any, Any, Any], clock: FakeClock | None = None) -> Any:
    async def main() -> Any:
        async with running(model, settings=Settings(control="memory://"), clock=clock):
            return await work

    return asyncio.run(main())


def ran(
    model: Predictor,
    source: ListSource,
    sink: ListSink,
    plan: BatchPlan = PLAN,
    clock: FakeClock | None = None,
    report: list[BatchProgress] | None = None,
) -> BatchRun | None:
    told = [] if report is None else report
    clock = clock or FakeClock()

    async def work() -> BatchRun | None:
        running = asyncio.ensure_future(run_batch(model, source, sink, plan, clock, told.append))
        while not running.done():
            await asyncio.sleep(0)
            if clock.sleepers:
                await clock.advance(1.0)
        return await running

    found: BatchRun | None = started(model, work(), clock)
    return found


def test_each_row_is_predicted_once_in_pages_that_are_read_ahead() -> None:
    model, source, sink, told = counting(), ListSource(NUMBERS), ListSink(), list[BatchProgress]()
    run = ran(model, source, sink, report=told)
    assert run is not None
    assert (run.status, run.rows, run.failed, run.model) == ("finished", 1000, 0, "counting:1")
    assert sink.rows == SUMS
    assert sink.columns == ["probabilities"]
    assert model.rows == 1000
    assert sink.pages == [256, *[100] * 7, 44]
    assert [progress.run.rows for progress in told] == [256, *range(356, 957, 100), 1000]
    assert {progress.total for progress in told} == {1000}
    assert max(len(request.inputs["input"]) for request in model.requests) == 64
    assert all(request.context.purpose == "request" for request in model.requests)
    assert not any(request.inputs["input"].flags.writeable for request in model.requests)


def test_no_rows_are_a_run_too() -> None:
    sink = ListSink()
    run = ran(counting(), ListSource([]), sink)
    assert run is not None
    assert (run.status, run.rows, sink.rows) == ("finished", 0, [])


def test_a_condition_chooses_rows() -> None:
    sink = ListSink()
    ran(counting(), ListSource(NUMBERS), sink, replace(PLAN, where="a >= 990 and a != 995"))
    assert [key for key, _ in sink.rows] == [991, 992, 993, 994, 995, 997, 998, 999, 1000]


def test_wrong_rows_are_told_and_the_rest_goes_on() -> None:
    rows = [*NUMBERS[:300], ("x", 1.0), (None, 1.0), *NUMBERS[302:]]
    sink = ListSink()
    run = ran(counting(), ListSource(rows), sink)
    assert run is not None
    assert (run.rows, run.failed) == (998, 2)
    assert [(each.key, each.code) for each in sink.failed] == [(301, "INVALID"), (302, "INVALID")]
    assert sink.rows == [row for row in SUMS if row[0] not in (301, 302)]


class Picky(CountingModel):
    """Refuses every request with a row of the `bad`, as a model does that takes all or nothing."""

    def __init__(self, bad: set[float], error: PredictionError) -> None:
        super().__init__(fields=("a", "b"))
        self.bad, self.error = bad, error

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        if self.bad & set(request.inputs["input"][:, 0].tolist()):
            raise self.error


@pytest.mark.parametrize("error", [InvalidInput("not this one"), InternalError("broke"), DeadlineExceeded()])
def test_rows_that_the_model_refuses_are_found_by_halves(error: PredictionError) -> None:
    sink = ListSink()
    model = Picky({3.0, 4.0, 500.0}, error)
    run = ran(model, ListSource(NUMBERS), sink)
    assert run is not None
    assert run.failed == 3
    assert [(each.key, each.code, each.error) for each in sink.failed] == [
        (key, error.code.value, str(error)) for key in (4, 5, 501)
    ]
    assert sink.rows == [row for row in SUMS if row[0] not in (4, 5, 501)]
    assert model.calls < 16 + 3 * 2 * 7 + 3


def test_a_page_of_which_all_rows_fail_writes_none() -> None:
    sink = ListSink()
    run = ran(Picky({number for number, _ in NUMBERS}, InvalidInput("no")), ListSource(NUMBERS[:300]), sink)
    assert run is not None
    assert (run.rows, run.failed, sink.rows) == (0, 300, [])


def test_a_model_that_fails_at_every_row_ends_the_run() -> None:
    sink = ListSink()
    with pytest.raises(Unavailable, match="100 rows in succession"):
        ran(FlakyModel(error=InternalError("broken"), fields=("a", "b")), ListSource(NUMBERS), sink)
    assert sink.rows == []


@pytest.mark.parametrize("error", [Unavailable("away"), Overloaded("full", retry_after=3)])
def test_a_model_that_is_away_is_asked_again(error: PredictionError) -> None:
    sink, clock = ListSink(), FakeClock()
    run = ran(FlakyModel(error=error, fails=range(3, 8), fields=("a", "b")), ListSource(NUMBERS), sink, clock=clock)
    assert run is not None
    assert (run.rows, run.failed, sink.rows) == (1000, 0, SUMS)


def test_one_that_stays_away_ends_the_run_and_a_later_one_goes_on() -> None:
    sink, clock = ListSink(), FakeClock()
    began = clock.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        ran(FlakyModel(fails=lambda call: call > 6, fields=("a", "b")), ListSource(NUMBERS), sink, clock=clock)
    assert 250 < clock.monotonic() - began <= 320
    assert sink.run is not None
    assert (sink.run.status, sink.run.rows) == ("running", 356)
    model = counting()
    run = ran(model, ListSource(NUMBERS), sink)
    assert run is not None
    assert (run.rows, model.rows, sink.rows) == (1000, 644, SUMS)


class Standing(CountingModel):
    """Something stands in for it at first."""

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return replace(super().answer(request), degraded=self.calls < 4)


def test_an_answer_that_stood_in_for_the_models_is_not_kept() -> None:
    sink, model = ListSink(), Standing(fields=("a", "b"))
    run = ran(model, ListSource(NUMBERS), sink)
    assert run is not None
    assert (sink.rows, model.calls - 3) == (SUMS, 19)


class Accepting(CountingModel):
    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return replace(super().answer(request), status="accepted")


def test_jobs_are_no_answers() -> None:
    with pytest.raises(CompositionError, match="not jobs"):
        ran(Accepting(fields=("a", "b")), ListSource(NUMBERS), ListSink())


class Lacking(CountingModel):
    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return replace(super().answer(request), outputs={"probabilities": np.zeros((7, 1), np.float32)})


def test_an_answer_with_too_few_rows_is_no_answer() -> None:
    with pytest.raises(Unavailable):
        ran(Lacking(fields=("a", "b")), ListSource(NUMBERS[:3] * 100), ListSink(), replace(PLAN, batch_rows=3))


# ---- going on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", range(9))
def test_a_run_that_broke_after_any_page_goes_on_in_the_same_pages(pages: int) -> None:
    sink = ListSink(pages, Unavailable("the disk is full"))
    with pytest.raises(Unavailable):
        ran(counting(), ListSource(NUMBERS), sink)
    sink.error = None
    run = ran(counting(), ListSource(NUMBERS), sink)
    assert run is not None
    assert (run.rows, sink.rows) == (1000, SUMS)
    assert sink.pages == [256, *[100] * 7, 44]


def unfinished() -> ListSink:
    sink = ListSink(2, Unavailable("broken"))
    with pytest.raises(Unavailable):
        ran(counting(), ListSource(NUMBERS, "file"), sink)
    sink.error = None
    return sink


@pytest.mark.parametrize(
    ("model", "source", "plan", "what"),
    [
        (counting(digest="other"), ListSource(NUMBERS, "file"), PLAN, "model, counting:1"),
        (counting(), ListSource(NUMBERS, "changed"), PLAN, "input"),
        (counting(), ListSource(NUMBERS, "file"), replace(PLAN, where="a > 3"), "condition"),
    ],
)
def test_an_unfinished_run_is_refused_under_another_model_input_or_condition_unless_restarted(
    model: Predictor, source: ListSource, plan: BatchPlan, what: str
) -> None:
    sink = unfinished()
    with pytest.raises(Conflict, match=f"had another {what}; finish it"):
        ran(model, source, sink, plan)
    run = ran(model, source, sink, replace(plan, restart=True))
    assert run is not None
    assert len(sink.rows) == run.rows >= 996


def test_a_finished_run_of_a_file_is_done_until_the_file_changes() -> None:
    sink = ListSink()
    ran(counting(), ListSource(NUMBERS, "file"), sink)
    assert ran(counting(), ListSource(NUMBERS, "file"), sink) is None
    run = ran(counting(), ListSource(NUMBERS[:10], "changed"), sink)
    assert run is not None
    assert sink.rows == SUMS[:10]


def test_a_finished_run_of_a_table_goes_on_with_what_came_since() -> None:
    sink, source = ListSink(), ListSource(NUMBERS[:600])
    ran(counting(), source, sink)
    assert ran(counting(), source, sink) is None
    source.rows = list(NUMBERS)
    model = counting(digest="newer")
    run = ran(model, source, sink)
    assert run is not None
    assert (run.rows, model.rows, sink.rows) == (1000, 400, SUMS)
    with pytest.raises(Conflict, match="were chosen by no condition"):
        ran(counting(), source, sink, replace(PLAN, where="a > 1"))


class Swapped(CountingModel):
    """Another model from its fifth call on, as behind a HotSwap."""

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return replace(super().answer(request), identity="other" if self.calls > 5 else self.identity())


def test_a_model_that_changes_amid_a_run_ends_it() -> None:
    sink = ListSink()
    with pytest.raises(Conflict, match="the model has changed since"):
        ran(Swapped(fields=("a", "b")), ListSource(NUMBERS), sink)
    assert len(sink.rows) == 256


def test_of_two_runs_at_once_one_stops() -> None:
    sink = ListSink()

    async def work() -> list[Any]:
        runs = [run_batch(model, ListSource(NUMBERS), sink, PLAN, FakeClock(), lambda _: None) for _ in range(2)]
        return await asyncio.gather(*runs, return_exceptions=True)

    model = counting()
    ended = started(model, work(), FakeClock())
    assert sorted(type(each).__name__ for each in ended) == ["BatchRun", "Conflict"]
    assert sink.rows == SUMS


def test_a_run_that_is_cancelled_leaves_nothing_at_work() -> None:
    sink = ListSink()

    async def work() -> None:
        before = asyncio.all_tasks()
        told = asyncio.Event()
        run = asyncio.create_task(run_batch(model, ListSource(NUMBERS), sink, PLAN, FakeClock(), lambda _: told.set()))
        await told.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert asyncio.all_tasks() == before

    model = counting()
    started(model, work(), FakeClock())
    assert sink.run is not None
    assert sink.run.rows == len(sink.rows) > 0


def test_rows_that_are_large_come_in_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_run, "PAGE_BYTES", 160)
    sink = ListSink()
    ran(counting(), ListSource(NUMBERS), sink)
    assert set(sink.pages[1:-1]) == {10}
    assert sink.rows == SUMS
