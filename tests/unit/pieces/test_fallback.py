"""Fallback: who answers in whose place, how that is said, and when nobody does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from core import noted
from mlpatterns import CircuitBreaker, Fallback, Pipeline, PredictionCache, Predictor
from mlpatterns.errors import ErrorCode, NotStarted, PredictionError, Unavailable, error_for
from mlpatterns.models.constant import ConstantModel
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client, request
from mlpatterns.user_errors import CompositionError


def run(root: Predictor, work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(root, settings=Settings(control="memory://")):
            await work()

    asyncio.run(main())


@pytest.mark.parametrize("code", [code for code in ErrorCode if code.is_fault])
def test_the_first_rung_that_can_answers_for_a_fault_and_the_answer_says_so(code: ErrorCode) -> None:
    cheap = CountingModel("cheap", version="7", digest="cheap")
    ladder = Fallback(FlakyModel("model", error=error_for(code, "no")), FlakyModel("broken"), cheap)

    async def work() -> None:
        asked = request([[1.0, 2.0]])
        answer = await ladder.predict(asked)
        assert answer.outputs["probabilities"].tolist() == [[3.0]]
        assert answer.degraded
        assert (answer.model_name, answer.model_version, answer.identity) == ("model", "7", cheap.identity())
        assert answer.described is not None
        assert answer.described.version == "7"
        assert noted(asked.context, "fallback") == "cheap"
        assert [note.path for note in asked.context.notes if note.key == "ms"] == [
            "model/model", "model/rung_1", "model/rung_2"
        ]  # fmt: skip

    run(ladder, work)


@pytest.mark.parametrize("code", [code for code in ErrorCode if not code.is_fault])
def test_what_is_no_fault_stays_the_callers(code: ErrorCode) -> None:
    rung = CountingModel()
    ladder = Fallback(FlakyModel(error=error_for(code, "no")), rung)

    async def work() -> None:
        with pytest.raises(PredictionError) as caught:
            await ladder.predict(request([[1.0]]))
        assert caught.value.code is code
        assert rung.calls == 0

    run(ladder, work)


def test_a_full_queue_is_answered_for_only_where_that_is_asked_for() -> None:
    ladder = Fallback(FlakyModel(error=error_for(ErrorCode.OVERLOADED, "full")), CountingModel(), on_overload=True)

    async def work() -> None:
        assert (await ladder.predict(request([[1.0]]))).degraded

    run(ladder, work)


def test_if_all_fail_the_first_error_is_the_callers() -> None:
    ladder = Fallback(FlakyModel(error=Unavailable("the first", retry_after=3)), FlakyModel(error=ValueError("second")))

    async def work() -> None:
        with pytest.raises(Unavailable, match="the first") as caught:
            await ladder.predict(request([[1.0]]))
        assert caught.value.retry_after == 3

    run(ladder, work)


def test_code_that_raises_anything_is_a_fault_like_others() -> None:
    ladder = Fallback(FlakyModel(error=ValueError("boom")), CountingModel())

    async def work() -> None:
        assert (await ladder.predict(request([[1.0]]))).degraded

    run(ladder, work)


def test_after_the_deadline_no_rung_is_asked() -> None:
    rung = CountingModel()
    ladder = Fallback(CountingModel("model"), rung)

    async def work() -> None:
        with pytest.raises(PredictionError) as caught:
            await ladder.predict(request([[1.0]], deadline=time.monotonic() - 1))
        assert caught.value.code is ErrorCode.DEADLINE
        assert rung.calls == 0

    run(ladder, work)


def test_a_model_that_takes_longer_than_its_timeout_leaves_time_for_a_rung() -> None:
    slow = SlowModel("model", seconds=60)
    ladder = Fallback(slow, CountingModel("cheap"), timeout=0.02)

    async def work() -> None:
        assert (await ladder.predict(request([[1.0]], deadline=time.monotonic() + 30))).degraded
        assert (slow.running, slow.cancelled) == (0, 1)

    run(ladder, work)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(CompositionError, match="timeout"):
        Fallback(CountingModel(), CountingModel(), timeout=timeout)


def test_a_client_that_leaves_is_not_answered_for() -> None:
    rung = CountingModel()
    ladder = Fallback(SlowModel(seconds=60), rung)

    async def work() -> None:
        asking = asyncio.create_task(ladder.predict(request([[1.0]])))
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert rung.calls == 0

    run(ladder, work)


def test_the_models_own_answer_is_as_it_was() -> None:
    model = CountingModel("model")
    ladder = Fallback(model, FlakyModel())

    async def work() -> None:
        asked = request([[1.0]])
        answer = await ladder.predict(asked)
        assert not answer.degraded
        assert answer.identity == ladder.identity() == model.identity()
        assert [note.key for note in asked.context.notes] == ["ms"]

    run(ladder, work)


def test_a_cache_around_it_keeps_the_models_answers_and_no_others() -> None:
    model = FlakyModel("model", fails=[1])
    cache = PredictionCache(Fallback(model, CountingModel("cheap")))

    async def work() -> None:
        states = []
        for _ in range(3):
            asked = request([[1.0]])
            await cache.predict(asked)
            states.append(noted(asked.context, "cache"))
        assert states == ["miss", "miss", "hit"]

    run(cache, work)


def test_the_ladder_of_cache_breaker_cheaper_model_and_constant() -> None:
    model, cheap = FlakyModel("model", fails=lambda call: call > 1), FlakyModel("cheap", fails=lambda call: call > 3)
    breaker = CircuitBreaker(model, minimum_number_of_calls=2, sliding_window_size=2)
    ladder = Fallback(PredictionCache(breaker, ttl=0.001, stale_if_error=600), cheap, ConstantModel(model))

    async def work() -> None:
        who = []
        await ladder.predict(request([[1.0]]))
        await asyncio.sleep(0.002)
        for data in (1.0, 2.0, 3.0, 4.0, 5.0):
            asked = request([[data]])
            answer = await ladder.predict(asked)
            assert answer.degraded
            notes = {note.key: note.value for note in asked.context.notes}
            who.append(notes.get("fallback") or notes["cache"])
        assert who == ["stale", "cheap", "cheap", "cheap", "constant"]
        assert model.calls == 2  # the first, and the one after which the breaker opened

    run(ladder, work)


@pytest.mark.parametrize(
    ("rung", "what"),
    [
        (CountingModel("other", labels=("a",)), "their labels"),
        (CountingModel("other", fields=("a", "b")), "the inputs that they take"),
        (Pipeline(CountingModel(), name="fine"), None),
    ],
)
def test_a_rung_that_does_not_fit_is_refused_at_the_start(rung: Predictor, what: str | None) -> None:
    async def work() -> None:
        assert what is None

    if what is None:
        run(Fallback(CountingModel("model"), rung), work)
        return
    with pytest.raises(CompositionError, match=f"'other' cannot answer in place of 'model': {what} differ"):
        run(Fallback(CountingModel("model"), rung), work)


def test_without_a_rung_it_is_refused() -> None:
    with pytest.raises(CompositionError, match="at least one other"):
        Fallback(CountingModel())


class Absent(CountingModel):
    """Elsewhere, and not there yet."""

    @property
    def metadata(self) -> Any:
        raise NotStarted(self.name)

    async def predict(self, asked: Any) -> Any:
        raise NotStarted(self.name)


def test_while_the_model_is_not_there_yet_the_rung_answers_and_the_health_says_so() -> None:
    ladder = Fallback(Absent("model"), CountingModel("cheap"))

    async def work() -> None:
        assert ladder.metadata.name == "model"
        assert ladder.health().ready
        assert "model cannot answer yet" in ladder.health().reason
        assert (await ladder.predict(request([[1.0]]))).degraded

    run(ladder, work)


def test_if_none_is_there_yet_it_is_not_ready() -> None:
    ladder = Fallback(Absent("model"), Absent("cheap"))

    async def work() -> None:
        assert not ladder.health().ready
        with pytest.raises(NotStarted):
            await ladder.predict(request([[1.0]]))

    run(ladder, work)


def test_over_http_the_headers_say_who_answered() -> None:
    async def work() -> None:
        async with client(Fallback(FlakyModel("model"), CountingModel("cheap", version="7"))) as http:
            headers = (await http.post("/predict", json={"data": [[1.0]]})).headers
            assert (headers["x-mlp-fallback"], headers["x-mlp-degraded"], headers["x-mlp-version"]) == (
                "cheap", "true", "7"
            )  # fmt: skip

    asyncio.run(work())


def test_a_constant_has_the_others_outputs_and_values_of_its_own() -> None:
    model = CountingModel(labels=("one",))
    constant = ConstantModel(model, {"probabilities": [0.25]})
    ladder = Fallback(FlakyModel(labels=("one",)), constant)
    assert ConstantModel(model).identity() != constant.identity()

    async def work() -> None:
        answer = await ladder.predict(request([[1.0], [2.0]], outputs=("probabilities",)))
        np.testing.assert_array_equal(answer.outputs["probabilities"], np.array([[0.25], [0.25]], np.float32))

    async def main() -> None:
        async with running(model, ladder, settings=Settings(control="memory://")):
            await work()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"scores": [1.0]}, "has no output 'scores'"), ({"probabilities": [1.0, 2.0]}, "must be one row of the shape")],
)
def test_a_constant_whose_values_do_not_fit_is_refused_at_the_start(values: Any, sentence: str) -> None:
    model = CountingModel()

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(CompositionError, match=sentence):
        run(Fallback(model, ConstantModel(model, values)), work)
