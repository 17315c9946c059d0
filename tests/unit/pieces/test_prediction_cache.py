"""PredictionCache: what is kept, for whom, for how long, and that a question in the air is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pytest

from core import CALLER, noted
from mlpatterns import FanOut, Pipeline, PredictionCache, PythonModel, RemoteModel, TensorSpec, Wrapper
from mlpatterns.context import Note
from mlpatterns.errors import DeadlineExceeded, ErrorCode, InternalError, Unavailable, error_for
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.cache.common import CacheStats
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, client, free_port, request
from mlpatterns.user_errors import CompositionError, SettingsError

Work = Callable[[], Awaitable[None]]


def run(work: Work, root: Predictor, clock: FakeClock | None = None, settings: Settings | None = None) -> Any:
    """Runs `work` while `root` is started; returns the values of the metrics by name and labels."""
    metrics = ProcessMetrics()

    async def main() -> None:
        async with running(root, settings=settings or Settings(), clock=clock, metrics=metrics):
            await work()

    asyncio.run(main())
    return {
        (sample.family.name.removeprefix("mlpatterns_cache_"), *(value for _, value in sample.labels)): sample.values[0]
        for sample in metrics.samples()
    }


async def ask(cache: Predictor, value: float = 1.0, **fields: Any) -> tuple[float, str]:
    """The answer, and how the cache says it came by it."""
    asked = request([[value]], **fields)
    response = await cache.predict(asked)
    return float(response.outputs["probabilities"][0, 0]), noted(asked.context, "cache")


def asking(cache: Predictor, value: float = 1.0, **fields: Any) -> asyncio.Task[tuple[float, str]]:
    return asyncio.create_task(ask(cache, value, **fields))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def note(state: str) -> Note:
    return Note("counting", "cache", state, public=True)


async def figures(cache: PredictionCache) -> CacheStats:
    (operation,) = [found for found in cache.operations if found.name == "cache"]
    found = await operation.handler(None, CALLER)
    assert isinstance(found, operation.output)
    assert isinstance(found, CacheStats)
    return found


# ---- hit and miss ------------------------------------------------------------------------------------------------


def test_a_second_ask_is_answered_without_the_model_and_is_equal() -> None:
    model = CountingModel()
    cache = PredictionCache(model)

    async def work() -> None:
        first, again = request([[1.0, 2.0]]), request([[1.0, 2.0]])
        a, b = await cache.predict(first), await cache.predict(again)
        assert (first.context.notes, again.context.notes) == ([note("miss")], [note("hit")])
        assert a.outputs["probabilities"].tolist() == b.outputs["probabilities"].tolist() == [[3.0]]
        assert (a.model_name, a.model_version, a.identity) == (b.model_name, b.model_version, model.identity())
        assert model.calls == 1

    counted = run(work, cache)
    assert counted["requests_total", "counting", "miss"] == counted["requests_total", "counting", "hit"] == 1


def test_a_hit_needs_no_task_and_never_waits() -> None:
    cache = PredictionCache(CountingModel())

    async def work() -> None:
        await ask(cache)
        before = asyncio.all_tasks()
        answering = cache.predict(request([[1.0]]))
        with pytest.raises(StopIteration):  # it ended at its first step
            answering.send(None)
        assert asyncio.all_tasks() == before

    run(work, cache)


def test_what_was_answered_cannot_be_changed_by_who_got_it() -> None:
    cache = PredictionCache(CountingModel())

    async def work() -> None:
        for _ in range(2):
            response = await cache.predict(request([[1.0]]))
            with pytest.raises(ValueError, match="read-only"):
                response.outputs["probabilities"][:] = 9
            with pytest.raises(TypeError):
                response.outputs["probabilities"] = np.zeros(1)  # type: ignore[index]

    run(work, cache)


def test_a_model_that_uses_its_buffer_again_does_not_change_what_was_kept() -> None:
    buffer = np.zeros((1, 1), np.float32)

    def reuse(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        buffer[:] = inputs["input"]
        return {"probabilities": buffer}

    spec = TensorSpec("input", "FP32", (-1, 1))
    outputs = [TensorSpec("probabilities", "FP32", (-1, 1))]
    cache = PredictionCache(PythonModel(lambda: None, reuse, inputs=[spec], outputs=outputs, digest="1"))

    async def work() -> None:
        assert await ask(cache, 1) == (1, "miss")
        assert await ask(cache, 2) == (2, "miss")
        assert await ask(cache, 1) == (1, "hit")

    run(work, cache)


def test_an_answer_is_fresh_for_its_ttl_and_asked_for_again_after_it() -> None:
    clock, model = FakeClock(), CountingModel()
    cache = PredictionCache(model, ttl=10)

    async def work() -> None:
        await ask(cache)
        await clock.advance(9.9)
        assert await ask(cache) == (1, "hit")
        await clock.advance(0.2)
        assert await ask(cache) == (1, "miss")
        assert model.calls == 2

    run(work, cache, clock)


def test_two_caches_of_one_url_share_what_the_same_model_answered_and_nothing_else() -> None:
    a, b, other = CountingModel("m"), CountingModel("m"), CountingModel("m", digest="other")
    caches = [PredictionCache(model, store="memory://?max_entries=9") for model in (a, b, other)]
    root = FanOut({str(number): cache for number, cache in enumerate(caches)})

    async def work() -> None:
        assert [(await ask(cache))[1] for cache in caches] == ["miss", "hit", "miss"]
        assert (a.calls, b.calls, other.calls) == (1, 0, 1)

    run(work, root)


def test_the_store_is_the_one_of_the_settings_unless_it_is_named() -> None:
    async def work() -> None: ...

    with pytest.raises(SettingsError, match="there is no CacheStore for nowhere://; use memory://"):
        run(work, PredictionCache(CountingModel()), settings=Settings(cache="nowhere://"))
    run(work, PredictionCache(CountingModel(), store="memory://"), settings=Settings(cache="nowhere://"))


# ---- the model changes -------------------------------------------------------------------------------------------


def test_a_new_model_never_answers_from_the_old_ones_cache() -> None:
    class Swapped(CountingModel):
        factor = 1.0

        def answer(self, request: InferenceRequest) -> InferenceResponse:
            whole = super().answer(request)
            outputs = {"probabilities": whole.outputs["probabilities"] * self.factor}
            return InferenceResponse(outputs, self.name, "1", self.identity())

    model = Swapped()
    cache = PredictionCache(model)

    async def work() -> None:
        assert await ask(cache) == (1, "miss")
        model.digest, model.factor = "new", 10.0
        assert await ask(cache) == (10, "miss")
        assert await ask(cache) == (10, "hit")
        model.digest, model.factor = "weights", 1.0
        assert await ask(cache) == (1, "hit")  # the old one is back, and so are its answers

    run(work, cache)


def test_an_answer_of_a_model_that_was_swapped_meanwhile_is_given_but_not_kept() -> None:
    clock = FakeClock()
    model = SlowModel(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        early = asking(cache)
        await turns()
        model.digest = "new"  # the answer will be the new one's, the question was the old one's
        await clock.advance(1)
        assert await early == (1, "miss")
        for digest in ("weights", "new"):
            model.digest = digest
            again = asking(cache)
            await clock.advance(1)
            assert (await again)[1] == "miss"

    run(work, cache, clock)


def test_equal_weights_under_another_version_are_kept_apart_so_that_an_answer_tells_its_version() -> None:
    one, two = CountingModel("m", version="1"), CountingModel("m", version="2")
    caches = [PredictionCache(one), PredictionCache(two)]

    async def work() -> None:
        for cache, version in zip(caches, "12", strict=True):
            for _ in range(2):
                assert (await cache.predict(request([[1.0]]))).model_version == version
        assert one.calls == two.calls == 1

    run(work, FanOut({"one": caches[0], "two": caches[1]}))


@pytest.mark.parametrize("fields", [{"degraded": True}, {"status": "accepted"}, {"identity": None}, {"identity": "x"}])
def test_what_is_degraded_or_comes_later_or_is_of_another_model_is_never_kept(fields: dict[str, Any]) -> None:
    class Odd(CountingModel):
        def answer(self, request: InferenceRequest) -> InferenceResponse:
            whole = super().answer(request)
            given = {"identity": self.identity(), **fields}
            return InferenceResponse(whole.outputs, self.name, "1", **given)

    model = Odd()
    cache = PredictionCache(model)

    async def work() -> None:
        for calls in (1, 2):
            response = await cache.predict(request([[1.0]]))
            assert model.calls == calls
            for name, value in fields.items():
                assert getattr(response, name) == value
            assert not response.outputs["probabilities"].flags.writeable

    run(work, cache)


def test_what_is_too_large_is_given_but_not_kept_and_counted() -> None:
    model = CountingModel()
    cache = PredictionCache(model, max_entry_bytes=2000)

    async def work() -> None:
        for _ in range(2):
            await cache.predict(request(np.zeros((1000, 1), np.float32)))
        assert await ask(cache) == (1, "miss")
        assert await ask(cache) == (1, "hit")
        assert model.calls == 3
        assert (await figures(cache)).too_large == 2

    assert run(work, cache)["too_large_total", "counting"] == 2


# ---- one flight a key --------------------------------------------------------------------------------------------


def test_two_hundred_equal_questions_at_once_reach_the_model_once() -> None:
    clock, model = FakeClock(), SlowModel(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        crowd = [asking(cache) for _ in range(200)]
        await turns()
        assert (await figures(cache)).in_flight == 1
        await clock.advance(1)
        answers = await asyncio.gather(*crowd)
        assert {value for value, _ in answers} == {1.0}
        assert sorted(state for _, state in answers) == ["joined"] * 199 + ["miss"]
        assert model.calls == 1
        assert (await figures(cache)).in_flight == 0

    counted = run(work, cache, clock)
    assert counted["requests_total", "slow", "joined"] == 199


def test_one_who_leaves_ends_it_for_nobody_else_not_even_the_one_who_began() -> None:
    clock, model = FakeClock(), SlowModel(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        first, second, third = asking(cache), asking(cache), asking(cache)
        await turns()
        first.cancel()
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await clock.advance(1)
        assert await second == (1, "joined")
        assert (model.calls, model.cancelled) == (1, 0)
        assert await ask(cache) == (1, "hit")

    run(work, cache, clock)


def test_when_all_have_left_it_is_cancelled_and_who_comes_after_asks_anew() -> None:
    clock, model = FakeClock(), SlowModel(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        crowd = [asking(cache) for _ in range(3)]
        await turns()
        for caller in crowd:
            caller.cancel()
        late = asking(cache)  # comes while the others are leaving
        await asyncio.wait(crowd)
        assert (model.calls, model.cancelled) == (2, 1)
        await clock.advance(1)
        assert (await late)[0] == 1

    run(work, cache, clock)


def test_the_last_to_leave_waits_until_a_thread_that_cannot_be_stopped_has_ended() -> None:
    model = SlowModel(seconds=0.02, blocking=True)
    cache = PredictionCache(model)

    async def work() -> None:
        caller = asking(cache, deadline=None)
        while not model.running:
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert model.running == 0

    run(work, cache)


def test_each_caller_leaves_at_its_own_deadline_and_the_others_get_their_answer() -> None:
    clock, model = FakeClock(), SlowModel(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        hurried = asking(cache, deadline=clock.monotonic() + 0.005)
        patient = asking(cache, deadline=clock.monotonic() + 60)
        with pytest.raises(DeadlineExceeded):
            await hurried
        assert not patient.done()
        await clock.advance(1)
        assert await patient == (1, "joined")
        assert model.calls == 1

    run(work, cache, clock)


def test_the_model_is_told_the_latest_deadline_of_those_who_were_there_when_it_began() -> None:
    clock, model = FakeClock(), SlowModel(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        deadlines = [clock.monotonic() + seconds for seconds in (30, 50, 40)]
        crowd = [asking(cache, deadline=deadline) for deadline in deadlines]
        await turns()
        assert model.requests[0].deadline == deadlines[1]
        await clock.advance(1)
        await asyncio.gather(*crowd)

    run(work, cache, clock)


def test_who_has_more_time_than_the_model_was_told_of_asks_again_when_that_was_too_little() -> None:
    class Punctual(SlowModel):
        """Gives up at the deadline it was told."""

        async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
            assert request.deadline is not None
            left = request.deadline - runtime.clock.monotonic()
            await runtime.clock.sleep(min(left, self.seconds))
            if left < self.seconds:
                raise DeadlineExceeded("the model ran out of time")

    clock, model = FakeClock(), Punctual(seconds=10)
    cache = PredictionCache(model)

    async def work() -> None:
        hurried = asking(cache, deadline=clock.monotonic() + 5)
        await turns()
        patient = [asking(cache, deadline=clock.monotonic() + 60 + n) for n in range(3)]
        await clock.advance(5)
        with pytest.raises(DeadlineExceeded, match="ran out of time"):
            await hurried
        await clock.advance(10)
        assert {value for value, _ in await asyncio.gather(*patient)} == {1.0}
        assert model.calls == 2

    run(work, cache, clock)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_error_goes_to_all_who_wait_each_an_object_of_its_own_and_is_not_kept(code: ErrorCode) -> None:
    class Failing(SlowModel):
        async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
            await super().work(runtime, request)
            if self.calls == 1:
                raise error_for(code, "the words", retry_after=3.0)

    clock, model = FakeClock(), Failing(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        crowd = [asking(cache) for _ in range(3)]
        await clock.advance(1)
        errors = list(await asyncio.gather(*crowd, return_exceptions=True))
        assert len({id(error) for error in errors}) == 3
        for error in errors:
            assert isinstance(error, type(error_for(code, "")))
            assert (str(error), error.retry_after) == ("the words", 3.0)
            assert error.__cause__ is None
        assert model.calls == 1
        again = asking(cache)
        await clock.advance(1)
        assert await again == (1, "miss")

    run(work, cache, clock)


def test_a_flight_carries_nothing_of_who_asked() -> None:
    model = CountingModel()
    cache = PredictionCache(model)

    async def work() -> None:
        asked = request([[1.0]], headers={"user-id": "u"}, principal="me", id="i")
        await cache.predict(asked)
        context = model.requests[0].context
        assert (dict(context.headers), context.principal, context.notes, model.requests[0].id) == ({}, None, [], None)
        assert context.prediction_id != asked.context.prediction_id

    run(work, cache)


def test_those_who_wait_when_it_stops_are_told_so() -> None:
    clock = FakeClock()
    cache = PredictionCache(SlowModel(seconds=1))

    async def main() -> None:
        async with running(cache, settings=Settings(), clock=clock):
            waiting = asking(cache)
            await turns()
            barely = asking(cache, 2)
            await asyncio.sleep(0)  # its flight exists, and has not begun
        for caller in (waiting, barely):
            with pytest.raises(Unavailable, match="stopping"):
                await caller

    asyncio.run(main())


# ---- past the cache ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wish", "after"), [("no-cache", 5.0), ("No-Store", 1.0), ("max-age=0, NO-CACHE", 5.0)])
def test_who_asks_to_goes_past_the_cache_and_no_cache_brings_a_new_answer_into_it(wish: str, after: float) -> None:
    class Changing(CountingModel):
        value = 1.0

        def answer(self, request: InferenceRequest) -> InferenceResponse:
            return InferenceResponse({"probabilities": np.array([[self.value]])}, self.name, "1", self.identity())

    model = Changing()
    cache = PredictionCache(model)

    async def work() -> None:
        assert await ask(cache) == (1, "miss")
        model.value = 5.0
        assert await ask(cache, headers={"cache-control": wish}) == (5, "bypass")
        assert await ask(cache) == (after, "hit")
        assert model.requests[1].context.headers == {"cache-control": wish}  # it is the caller's own question

    run(work, cache)


def test_other_wishes_change_nothing() -> None:
    cache = PredictionCache(CountingModel())

    async def work() -> None:
        await ask(cache)
        assert (await ask(cache, headers={"cache-control": "no-transform, max-age=60"}))[1] == "hit"

    run(work, cache)


def test_over_http_the_header_is_heard_and_the_state_is_told() -> None:
    async def main() -> None:
        async with client(PredictionCache(CountingModel())) as http:
            states = []
            for headers in ({}, {}, {"cache-control": "no-cache"}, {}):
                answer = await http.post("/predict", json={"data": [[1.0]]}, headers=headers)
                assert answer.json() == {"prediction": [1.0]}
                states.append(answer.headers["x-mlp-cache"])
            assert states == ["miss", "hit", "bypass", "hit"]

    asyncio.run(main())


def test_a_question_without_a_key_goes_past_the_cache() -> None:
    model = CountingModel()
    cache = PredictionCache(model)

    async def work() -> None:
        for _ in range(2):
            assert await ask(cache, parameters={"a": object()}) == (1, "bypass")
        assert model.calls == 2

    run(work, cache)


# ---- stale answers -----------------------------------------------------------------------------------------------


class Breaking(CountingModel):
    error: Exception | None = None

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_stale_answer_stands_in_for_a_model_that_fails_and_for_nothing_else(code: ErrorCode) -> None:
    clock, model = FakeClock(), Breaking()
    cache = PredictionCache(model, ttl=10, stale_if_error=100)

    async def work() -> None:
        await ask(cache)
        await clock.advance(11)
        model.error = error_for(code, "no")
        asked = request([[1.0]])
        if code in ("INTERNAL", "UNAVAILABLE", "DEADLINE"):
            response = await cache.predict(asked)
            assert (response.degraded, noted(asked.context, "cache")) == (True, "stale")
            assert response.outputs["probabilities"].tolist() == [[1.0]]
            await clock.advance(100)
        with pytest.raises(type(model.error)):
            await cache.predict(asked)
        model.error = None
        assert await ask(cache) == (1, "miss")

    run(work, cache, clock)


def test_without_stale_if_error_an_old_answer_is_never_given() -> None:
    clock, model = FakeClock(), Breaking()
    cache = PredictionCache(model, ttl=10)

    async def work() -> None:
        await ask(cache)
        await clock.advance(11)
        model.error = InternalError("no")
        with pytest.raises(InternalError):
            await ask(cache)

    run(work, cache, clock)


def test_a_stale_answer_is_not_made_fresh_by_being_given() -> None:
    clock, model = FakeClock(), Breaking()
    cache = PredictionCache(model, ttl=10, stale_if_error=100)

    async def work() -> None:
        await ask(cache)
        await clock.advance(11)
        model.error = Unavailable("no")
        assert [(await ask(cache))[1] for _ in range(2)] == ["stale", "stale"]
        assert model.calls == 3

    run(work, cache, clock)


# ---- what has no identity ----------------------------------------------------------------------------------------


class Chance(Wrapper):
    """Answers equal inputs differently, as a Split does."""

    def identity(self) -> str | None:
        return None


def test_around_what_has_no_identity_it_does_not_start_and_says_where_to_put_it() -> None:
    async def work() -> None: ...

    chance = Chance(FanOut({"a": CountingModel(), "b": CountingModel()}), name="chance")
    with pytest.raises(
        CompositionError,
        match=r"'chance' in 'pipeline' answers equal .*put the PredictionCache inside .*around 'fan_out'",
    ):
        run(work, PredictionCache(Pipeline(chance)))
    spec = TensorSpec("x", "FP32", (-1,))
    plain = PythonModel(lambda: None, lambda _, x: x, inputs=[spec], outputs=[spec], name="plain")
    with pytest.raises(CompositionError, match=r"'plain' has no identity; give a PythonModel a digest="):
        run(work, PredictionCache(plain))


def test_around_a_remote_model_that_is_not_there_yet_it_starts_and_passes_through() -> None:
    cache = PredictionCache(RemoteModel(f"http://127.0.0.1:{free_port()}", "m"))

    async def work() -> None:
        asked = request([[1.0]])
        with pytest.raises(Unavailable, match="has not answered yet"):
            await cache.predict(asked)
        assert noted(asked.context, "cache") == "bypass"
        assert (await figures(cache)).identity is None

    run(work, cache)


class Late(CountingModel):
    """Known, and with an identity, only after a while: as a RemoteModel."""

    there = False
    late: str | None = "weights"

    @property
    def metadata(self) -> Any:
        from mlpatterns.errors import NotStarted

        if not self.there:
            raise NotStarted(self.name)
        return super().metadata

    def identity(self) -> str | None:
        return super().identity() if self.there and self.late else None


def test_once_a_late_model_is_known_its_answers_are_kept() -> None:
    model = Late()
    cache = PredictionCache(model)

    async def work() -> None:
        assert [(await ask(cache))[1] for _ in range(2)] == ["bypass", "bypass"]
        model.there = True
        assert [(await ask(cache))[1] for _ in range(2)] == ["miss", "hit"]

    run(work, cache)


def test_a_late_model_that_turns_out_to_have_no_identity_is_told_to_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Late()
    model.late = None
    cache = PredictionCache(model)

    async def work() -> None:
        await ask(cache)
        assert not caplog.records
        model.there = True
        assert [(await ask(cache))[1] for _ in range(3)] == ["bypass"] * 3

    run(work, cache)
    (record,) = [record for record in caplog.records if "nothing is cached" in record.message]
    assert "'counting' has no identity" in record.message


# ---- operations, options -----------------------------------------------------------------------------------------


def test_its_figures_say_what_it_did() -> None:
    cache = PredictionCache(CountingModel("m"), store="memory://?max_entries=2")

    async def work() -> None:
        for value in (1, 1, 2, 3):
            await ask(cache, value)
        await ask(cache, headers={"cache-control": "no-cache"})
        found = await figures(cache)
        assert (found.model, found.store, found.identity) == ("m", "memory://?max_entries=2", cache.identity())
        assert (found.hit, found.miss, found.bypass, found.joined, found.stale) == (1, 3, 1, 0, 0)
        assert (found.entries, found.evictions, found.store_errors, found.resting) == (2, 2, 0, False)
        assert found.bytes is not None
        assert found.bytes > 0

    counted = run(work, cache)
    store = "memory://?max_entries=2"
    assert (counted["entries", store], counted["evictions_total", store]) == (2, 2)
    assert counted["bytes", store] > 0


def test_clearing_forgets_the_answers_of_its_model_and_no_others() -> None:
    mine, other = PredictionCache(CountingModel()), PredictionCache(CountingModel(digest="other"))

    async def work() -> None:
        for cache in (mine, other):
            await ask(cache)
        (clear,) = [found for found in mine.operations if found.name == "cache/clear"]
        assert (clear.kind, clear.access) == ("command", "token")
        assert (await clear.handler(None, CALLER)).cleared == 1
        assert [(await ask(cache))[1] for cache in (mine, other)] == ["miss", "hit"]

    run(work, FanOut({"mine": mine, "other": other}))


def test_over_http_the_figures_are_a_query_and_clearing_is_a_command_that_needs_the_token() -> None:
    async def main() -> None:
        async with client(PredictionCache(CountingModel()), settings=Settings(admin_token="t")) as http:
            await http.post("/predict", json={"data": [[1.0]]})
            assert (await http.get("/cache")).json()["entries"] == 1
            assert (await http.post("/cache/clear")).status_code == 401
            cleared = await http.post("/cache/clear", headers={"x-admin-token": "t"})
            assert (cleared.status_code, cleared.json()) == (200, {"cleared": 1})
            assert (await http.get("/pieces/counting/cache")).json()["entries"] == 0

    asyncio.run(main())


def test_an_answer_that_was_asked_for_before_a_clearing_is_not_kept_after_it() -> None:
    clock, model = FakeClock(), SlowModel(seconds=1)
    cache = PredictionCache(model)

    async def work() -> None:
        early = asking(cache)
        await turns()
        (clear,) = [found for found in cache.operations if found.name == "cache/clear"]
        await clear.handler(None, CALLER)
        await clock.advance(1)
        assert await early == (1, "miss")
        again = asking(cache)
        await clock.advance(1)
        assert await again == (1, "miss")

    run(work, cache, clock)


def test_clearing_before_the_model_is_known_is_unavailable() -> None:
    cache = PredictionCache(Late())

    async def work() -> None:
        (clear,) = [found for found in cache.operations if found.name == "cache/clear"]
        with pytest.raises(Unavailable, match="not ready"):
            await clear.handler(None, CALLER)

    run(work, cache)


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": float("nan")},
        {"ttl": float("inf")},
        {"stale_if_error": -1},
        {"max_entry_bytes": 0},
        {"store_timeout": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CompositionError, match=next(iter(options))):
        PredictionCache(CountingModel(), **options)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://host", "has no address"),
        ("memory://?max_entries=0", "max_entries must be a whole number"),
        ("memory://?max_bytes=64MB", "KiB, MiB or GiB"),
        ("memory://?entries=1", "has no option 'entries'; the options are max_entries, max_bytes"),
        ("memory://?max_entries", "NAME=VALUE"),
        ("memory://?max_entries=1&max_entries=2", "twice"),
    ],
)
def test_a_malformed_url_is_one_sentence_at_start(url: str, words: str) -> None:
    async def work() -> None: ...

    with pytest.raises(SettingsError, match=words):
        run(work, PredictionCache(CountingModel(), store=url))


def test_a_fault_of_the_model_that_is_no_prediction_error_is_logged_once_and_told_to_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()

    class Broken(SlowModel):
        async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
            await super().work(runtime, request)
            raise ZeroDivisionError("a fault of the code")

    cache = PredictionCache(Broken(seconds=1))

    async def work() -> None:
        crowd = [asking(cache) for _ in range(3)]
        await clock.advance(1)
        for error in await asyncio.gather(*crowd, return_exceptions=True):
            assert isinstance(error, ZeroDivisionError)

    run(work, cache, clock)
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_errors_hold_no_request_in_a_circle() -> None:
    import gc
    import weakref

    cache = PredictionCache(FlakyModel())
    seen: list[weakref.ref[Any]] = []

    async def work() -> None:
        gc.disable()
        try:
            for _ in range(3):
                asked = request(np.ones((4, 4), np.float32))
                seen.append(weakref.ref(asked.inputs["input"]))
                with pytest.raises(Unavailable):
                    await cache.predict(asked)
                del asked
                cache.inner.requests.clear()  # type: ignore[attr-defined]
            await turns()
            assert [ref() for ref in seen[:2]] == [None, None]
        finally:
            gc.enable()

    run(work, cache)
