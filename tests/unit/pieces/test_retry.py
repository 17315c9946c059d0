"""Retry: what is repeated, how often, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from core import noted
from mlpatterns import CircuitBreaker, Predictor, Retry, TensorSpec
from mlpatterns.errors import CircuitOpen, ErrorCode, NotStarted, PredictionError, Unavailable, error_for
from mlpatterns.pieces.retry import RetryBudget
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, request
from mlpatterns.user_errors import CompositionError


def run(root: Predictor, work: Callable[[FakeClock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with running(root, settings=Settings(control="memory://"), clock=clock):
            working = asyncio.create_task(work(clock))
            while not working.done():
                await clock.advance(0.01)
            await working

    asyncio.run(main())


def test_what_is_unavailable_is_asked_again_until_it_answers() -> None:
    model = FlakyModel(fails=[1, 2])
    retry = Retry(model)

    async def work(clock: FakeClock) -> None:
        asked = request([[1.0]])
        await retry.predict(asked)
        assert model.calls == 3
        assert noted(asked.context, "retries") == 2

    run(retry, work)


def test_a_model_that_answers_is_asked_once_and_nothing_is_noted() -> None:
    model = CountingModel()
    retry = Retry(model)

    async def work(clock: FakeClock) -> None:
        asked = request([[1.0]])
        await retry.predict(asked)
        assert (model.calls, asked.context.notes) == (1, [])

    run(retry, work)


def test_after_the_last_attempt_the_caller_gets_the_error() -> None:
    model = FlakyModel()
    retry = Retry(model, num_retries=4)

    async def work(clock: FakeClock) -> None:
        with pytest.raises(Unavailable):
            await retry.predict(request([[1.0]]))
        assert model.calls == 5

    run(retry, work)


@pytest.mark.parametrize("code", [code for code in ErrorCode if code is not ErrorCode.UNAVAILABLE])
def test_nothing_else_is_repeated(code: ErrorCode) -> None:
    model = FlakyModel(error=error_for(code, "no"))
    retry = Retry(model)

    async def work(clock: FakeClock) -> None:
        with pytest.raises(PredictionError):
            await retry.predict(request([[1.0]]))
        assert model.calls == 1

    run(retry, work)


def test_the_refusal_of_a_circuit_breaker_is_not_repeated() -> None:
    model = FlakyModel()
    retry = Retry(CircuitBreaker(model, minimum_number_of_calls=2, sliding_window_size=2), num_retries=10)

    async def work(clock: FakeClock) -> None:
        with pytest.raises(CircuitOpen):
            await retry.predict(request([[1.0]]))
        assert model.calls == 2

    run(retry, work)


class Queue(FlakyModel):
    """Answers with the id of a job, as a queue does."""

    @property
    def metadata(self) -> Any:
        return replace(super().metadata, outputs=(TensorSpec("job_id", "BYTES", (-1,)),), primary_output="job_id")


def test_what_a_queue_may_have_accepted_is_not_repeated() -> None:
    queue = Queue()
    retry = Retry(queue)

    async def work(clock: FakeClock) -> None:
        with pytest.raises(Unavailable):
            await retry.predict(request([[1.0]]))
        assert queue.calls == 1

    run(retry, work)


@pytest.mark.parametrize(("after", "calls"), [(0.2, 3), (0.3, 1), (None, 3)])
def test_it_waits_as_long_as_it_is_told_but_not_longer_than_its_own_bound(after: float | None, calls: int) -> None:
    model = FlakyModel(error=Unavailable("no", retry_after=after))
    retry = Retry(model)

    async def work(clock: FakeClock) -> None:
        began = clock.monotonic()
        with pytest.raises(Unavailable):
            await retry.predict(request([[1.0]]))
        assert model.calls == calls
        assert clock.monotonic() - began >= (calls - 1) * (after or 0)

    run(retry, work)


def test_nothing_is_repeated_that_could_not_end_before_the_deadline() -> None:
    model = FlakyModel(error=Unavailable("no", retry_after=0.2))
    retry = Retry(model, num_retries=10)

    async def work(clock: FakeClock) -> None:
        deadline = clock.monotonic() + 0.5
        with pytest.raises(Unavailable):
            await retry.predict(request([[1.0]], deadline=deadline))
        assert model.calls == 3
        assert clock.monotonic() < deadline

    run(retry, work)


def test_one_that_is_not_there_yet_is_asked_again() -> None:
    class Late(CountingModel):
        async def predict(self, asked: Any) -> Any:
            if self.calls < 1:
                self.calls += 1
                raise NotStarted(self.name)
            return await super().predict(asked)

    retry = Retry(Late())

    async def work(clock: FakeClock) -> None:
        asked = request([[1.0]])
        await retry.predict(asked)
        assert noted(asked.context, "retries") == 1

    run(retry, work)


def test_a_share_of_the_requests_under_way_may_be_repetitions() -> None:
    """So a model that is down gets a fifth more, not three times as many."""
    model = FlakyModel()
    retry = Retry(model, num_retries=1, budget_percent=20, min_retry_concurrency=3, base_interval=0.2)

    async def work(clock: FakeClock) -> None:
        ends = await asyncio.gather(*(retry.predict(request([[1.0]])) for _ in range(100)), return_exceptions=True)
        assert {type(end) for end in ends} == {Unavailable}
        assert 100 < model.calls <= 100 + 20 + 1
        assert (retry._repeater.budget.requests, retry._repeater.budget.retries) == (0, 0)

    run(retry, work)


@pytest.mark.parametrize(
    ("requests", "retries", "allowed"), [(0, 2, True), (0, 3, False), (20, 3, True), (20, 4, False)]
)
def test_the_budget(requests: int, retries: int, allowed: bool) -> None:
    budget = RetryBudget(20.0, 3)
    budget.requests, budget.retries = requests, retries
    assert budget.allows() is allowed


def test_who_leaves_while_it_waits_gives_the_budget_back() -> None:
    retry = Retry(FlakyModel(error=Unavailable("no", retry_after=0.2)))

    async def work(clock: FakeClock) -> None:
        asking = asyncio.create_task(retry.predict(request([[1.0]])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert retry._repeater.budget.retries == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (retry._repeater.budget.requests, retry._repeater.budget.retries) == (0, 0)

    run(retry, work)


@pytest.mark.parametrize(
    "options",
    [{"num_retries": 0}, {"budget_percent": 101}, {"min_retry_concurrency": -1}, {"base_interval": 0},
     {"base_interval": 1.0, "max_interval": 0.5}],
)  # fmt: skip
def test_options_out_of_their_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CompositionError):
        Retry(CountingModel(), **options)
