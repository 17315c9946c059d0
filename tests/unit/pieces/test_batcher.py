"""Batcher: nothing is added when idle, what waits goes together, one bad request fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core import noted
from mlpatterns import Batcher
from mlpatterns.errors import DeadlineExceeded, InternalError, InvalidInput, Overloaded, Unavailable
from mlpatterns.metadata import TensorSpec
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, SlowModel, request
from mlpatterns.user_errors import CompositionError

BAD = -1.0


class Picky(SlowModel):
    """Fails where a row of the batch is BAD."""

    error: type[Exception] = InvalidInput

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        await super().work(runtime, request)
        if (request.inputs["input"] == BAD).any():
            raise self.error("a row is bad")


def run(work: Callable[[], Coroutine[Any, Any, None]], batcher: Batcher, clock: FakeClock | None = None) -> None:
    async def main() -> None:
        async with running(batcher, settings=Settings(), clock=clock, metrics=ProcessMetrics()):
            await work()

    asyncio.run(main())


def ask(batcher: Batcher, *values: float, **fields: Any) -> asyncio.Task[InferenceResponse]:
    return asyncio.create_task(batcher.predict(request([[value] for value in values], **fields)))


def sizes(model: CountingModel) -> list[int]:
    return [len(seen.inputs["input"]) for seen in model.requests]


def answers(tasks: list[asyncio.Task[InferenceResponse]]) -> list[Any]:
    return [task.exception() or task.result().outputs["probabilities"].ravel().tolist() for task in tasks]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def behind(batcher: Batcher, *values: float) -> list[asyncio.Task[InferenceResponse]]:
    """One that keeps the model busy, and one for each of `values`, which wait."""
    tasks = [ask(batcher, 0.0)]
    await turns()
    tasks += [ask(batcher, value) for value in values]
    await turns()
    return tasks


def test_an_idle_model_is_asked_at_once_and_alone() -> None:
    model = CountingModel()
    batcher = Batcher(model)

    async def work() -> None:
        before = asyncio.all_tasks()
        for value in (1.0, 2.0):
            coroutine = batcher.predict(request([[value]]))
            with pytest.raises(StopIteration) as done:  # it never waited: no task, no timer
                coroutine.send(None)
            assert done.value.value.outputs["probabilities"].tolist() == [[value]]
        assert asyncio.all_tasks() == before
        assert sizes(model) == [1, 1]

    run(work, batcher)


def test_what_arrives_while_the_model_is_busy_goes_together_and_each_gets_its_own() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        tasks = await behind(batcher, *range(1, 11))
        await clock.advance(2.0)
        assert sizes(model) == [1, 10]
        assert answers(tasks) == [[float(value)] for value in range(11)]

    run(work, batcher, clock)


def test_a_batch_has_no_more_rows_than_its_bound_and_the_models() -> None:
    for own, bound in ((4, None), (100, 4)):
        model, clock = SlowModel(seconds=1.0), FakeClock()
        model._described = replace(model._described, max_batch_size=bound)
        batcher = Batcher(model, max_batch_size=own)

        async def work(batcher: Batcher = batcher, clock: FakeClock = clock, model: CountingModel = model) -> None:
            assert batcher.metadata.max_batch_size is None
            tasks = await behind(batcher, *range(1, 11))
            await clock.advance(9.0)
            assert sizes(model) == [1, 4, 4, 2]
            assert answers(tasks) == [[float(value)] for value in range(11)]

        run(work, batcher, clock)


def test_a_request_of_more_rows_is_asked_in_parts() -> None:
    model = CountingModel()
    batcher = Batcher(model, max_batch_size=4)

    async def work() -> None:
        answer = await ask(batcher, *range(10))
        assert answer.outputs["probabilities"].ravel().tolist() == list(range(10))
        assert sizes(model) == [4, 4, 2]

    run(work, batcher)


def test_only_what_asks_for_the_same_goes_together() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        tasks = await behind(batcher)
        kinds: list[dict[str, Any]] = [{}, {"parameters": {"k": 1}}, {"parameters": {"k": 2}},
                                       {"outputs": ("probabilities",)}, {"parameters": {"k": object()}}]  # fmt: skip
        for kind in kinds:
            tasks += [ask(batcher, 1.0, **kind) for _ in range(2)]
        wide = [asyncio.create_task(batcher.predict(request([[1.0, 2.0]]))) for _ in range(2)]
        probe = request([[1.0]])
        probe.context.purpose = "test"
        tested = asyncio.create_task(batcher.predict(probe))
        await turns()
        await clock.advance(20.0)
        assert sizes(model) == [1, 2, 2, 2, 2, 1, 1, 2, 1]
        assert all(task.done() for task in [*tasks, *wide, tested])
        assert [seen.context.purpose for seen in model.requests][-1] == "test"

    run(work, batcher, clock)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_bad_request_fails_alone(bad: list[bool]) -> None:
    model, clock = Picky(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        tasks = await behind(batcher, *[BAD if each else 5.0 for each in bad])
        await clock.advance(60.0)
        for task, each in zip(tasks[1:], bad, strict=True):
            if each:
                assert isinstance(task.exception(), InvalidInput)
            else:
                assert task.result().outputs["probabilities"].tolist() == [[5.0]]
        assert model.calls <= 2 * len(bad) + 1

    run(work, batcher, clock)


def test_a_failure_that_is_nobodys_fault_is_everybodys_and_asked_once() -> None:
    class Down(Picky):
        error = Unavailable

    model, clock = Down(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        tasks = await behind(batcher, 1.0, BAD, 2.0)
        await clock.advance(2.0)
        errors = [task.exception() for task in tasks[1:]]
        assert all(isinstance(error, Unavailable) for error in errors)
        assert len({id(error) for error in errors}) == 3
        assert sizes(model) == [1, 3]

    run(work, batcher, clock)


def test_an_output_of_another_length_is_an_error_and_never_anothers_answer() -> None:
    class Short(SlowModel):
        def answer(self, request: InferenceRequest) -> InferenceResponse:
            found = super().answer(request)
            return replace(found, outputs={name: value[:1] for name, value in found.outputs.items()})

    model, clock = Short(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        tasks = await behind(batcher, 1.0, 2.0)
        tasks.append(ask(batcher, 3.0, 4.0))
        await turns()
        await clock.advance(20.0)
        assert answers(tasks)[:3] == [[0.0], [1.0], [2.0]]
        assert isinstance(tasks[3].exception(), InternalError)

    run(work, batcher, clock)


def test_what_is_no_input_is_refused_before_it_waits() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        tasks = await behind(batcher, 1.0)
        wrong = asyncio.create_task(batcher.predict(request({"other": np.zeros((1, 1), np.float32)})))
        await turns()
        assert isinstance(wrong.exception(), InvalidInput)
        await clock.advance(2.0)
        assert answers(tasks) == [[0.0], [1.0]]
        assert sizes(model) == [1, 1]

    run(work, batcher, clock)


def test_whose_time_is_up_or_who_left_is_dropped_from_the_batch() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        tasks = await behind(batcher, 1.0)
        late = ask(batcher, 2.0, deadline=clock.monotonic() + 0.5)
        left = ask(batcher, 3.0)
        await turns()
        left.cancel()
        await clock.advance(2.0)
        assert isinstance(late.exception(), DeadlineExceeded)
        assert left.cancelled()
        assert answers(tasks) == [[0.0], [1.0]]
        assert sizes(model) == [1, 1]

    run(work, batcher, clock)


def test_one_who_leaves_ends_the_batch_for_nobody_and_the_last_for_all() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        first, *others = await behind(batcher, 1.0, 2.0)
        await clock.advance(1.0)
        assert model.running == 1
        others[0].cancel()
        await turns()
        assert model.running == 1
        others[1].cancel()
        await turns(10)
        assert (model.running, model.cancelled) == (0, 1)
        another = ask(batcher, 4.0)
        await turns()
        await clock.advance(1.0)
        assert answers([first, another]) == [[0.0], [4.0]]

    run(work, batcher, clock)


def test_too_many_who_wait_are_refused_and_told_when_to_come_again() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model, max_queue=2)

    async def work() -> None:
        tasks = await behind(batcher, 1.0, 2.0, 3.0)
        error = tasks[3].exception()
        assert isinstance(error, Overloaded)
        assert error.retry_after == 1
        await clock.advance(1.0)  # those who waited are with the model now, so that others may wait
        more = ask(batcher, 4.0)
        await turns()
        await clock.advance(2.0)
        assert answers([*tasks[:3], more]) == [[0.0], [1.0], [2.0], [4.0]]

    run(work, batcher, clock)


def test_several_batches_at_once_where_the_model_has_workers() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model, max_concurrency=2, max_batch_size=2)

    async def work() -> None:
        tasks = await behind(batcher, *range(1, 6))
        await clock.advance(2.0)
        assert model.most_running == 2
        assert [task.done() for task in tasks] == [True] * 6
        assert sizes(model) == [1, 1, 2, 2]

    run(work, batcher, clock)


def test_the_note_says_how_many_rows_were_asked_together() -> None:
    model, clock = SlowModel(seconds=1.0), FakeClock()
    batcher = Batcher(model)

    async def work() -> None:
        asked = [request([[1.0]]) for _ in range(4)]
        tasks = []
        for each in asked:
            tasks.append(asyncio.create_task(batcher.predict(each)))
            await turns()
        await clock.advance(2.0)
        assert [noted(each.context, "batch_size") for each in asked] == [1, 3, 3, 3]
        assert all(task.done() for task in tasks)

    run(work, batcher, clock)


def test_a_model_whose_batch_is_fixed_is_refused_at_the_start() -> None:
    model = CountingModel()
    model._described = replace(model._described, outputs=(TensorSpec("probabilities", "FP32", (1, 1)),))

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(CompositionError, match=r"output 'probabilities' has the shape \[1, 1\]"):
        run(work, Batcher(model))


@pytest.mark.parametrize("wrong", [{"max_batch_size": 0}, {"max_concurrency": 0}, {"max_queue": -1}])
def test_bounds_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(CompositionError):
        Batcher(CountingModel(), **wrong)  # type: ignore[arg-type]
