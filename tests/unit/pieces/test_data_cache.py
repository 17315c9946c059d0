"""DataCache: each row is prepared once, kept for a while, and never taken for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core import noted
from mlpatterns import DataCache, Pipeline, PredictionCache, PythonModel, TensorSpec, Wrapper
from mlpatterns.errors import DeadlineExceeded, InvalidInput, NotFound, Overloaded, Unavailable, Unsupported
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.cache.rows import AT_ONCE, WarmRequest
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores.cache import CacheEntry, CacheStore
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, request
from mlpatterns.user_errors import CompositionError

Work = Callable[[], Awaitable[None]]


def run(work: Work, root: Predictor, clock: FakeClock | None = None, store: str = "memory://") -> Any:
    """Runs `work` while `root` is started; returns the values of the metrics by name and labels."""
    metrics = ProcessMetrics()

    async def main() -> None:
        async with running(root, settings=Settings(cache=store), clock=clock, metrics=metrics):
            await work()

    asyncio.run(main())
    return {
        (sample.family.name.removeprefix("mlpatterns_cache_"), *(value for _, value in sample.labels)): sample.values[0]
        for sample in metrics.samples()
    }


async def ask(cache: Predictor, *values: float, **fields: Any) -> tuple[list[float], str]:
    """The answer of each row, and how the cache says it came by them."""
    asked = request([[value] for value in values], **fields)
    response = await cache.predict(asked)
    return response.outputs["probabilities"][:, 0].tolist(), noted(asked.context, "data-cache")


def loaded(model: CountingModel) -> list[list[float]]:
    """The rows of each call of the loader."""
    return [one.inputs["input"][:, 0].tolist() for one in model.requests]


class Spoilt(CountingModel):
    """A loader that has no row of negative numbers, and refuses all that go with one."""

    error: Any = NotFound

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        if (request.inputs["input"] < 0).any():
            raise self.error("there is no such row")


# ---- rows --------------------------------------------------------------------------------------------------------


def test_each_row_is_kept_by_itself_and_only_the_missing_are_loaded_together() -> None:
    model = CountingModel()
    cache = DataCache(model)

    async def work() -> None:
        assert await ask(cache, 1, 2) == ([1, 2], "miss")
        assert await ask(cache, 2, 3, 1, 4) == ([2, 3, 1, 4], "2 hit, 2 miss")
        assert await ask(cache, 4, 3, 2, 1) == ([4, 3, 2, 1], "hit")
        assert loaded(model) == [[1, 2], [3, 4]]

    counted = run(work, cache)
    assert [counted["requests_total", "counting", state] for state in ("hit", "miss")] == [6, 4]


def test_a_row_that_is_asked_for_twice_in_one_request_is_loaded_once() -> None:
    model = CountingModel()
    cache = DataCache(model)

    async def work() -> None:
        assert await ask(cache, 5, 5, 6, 5) == ([5, 5, 6, 5], "miss")
        assert loaded(model) in ([[5, 6]], [[6, 5]])

    run(work, cache)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), max_size=8), st.booleans())
def test_whatever_is_asked_each_gets_his_rows_and_each_row_is_loaded_once(
    asked: list[list[int]], at_once: bool
) -> None:
    model = SlowModel(seconds=0.0)
    cache = DataCache(model)

    async def work() -> None:
        asking = [ask(cache, *map(float, rows)) for rows in asked]
        answers = await asyncio.gather(*asking) if at_once else [await one for one in asking]
        assert [rows for rows, _ in answers] == [list(map(float, rows)) for rows in asked]
        every = [row for rows in loaded(model) for row in rows]
        assert sorted(every) == sorted(set(every))

    run(work, cache)


def test_what_was_given_cannot_be_changed_by_who_got_it() -> None:
    cache = DataCache(CountingModel())

    async def work() -> None:
        for _ in range(2):
            response = await cache.predict(request([[1.0]]))
            with pytest.raises(ValueError, match="read-only"):
                response.outputs["probabilities"][:] = 9

    run(work, cache)


def test_the_answer_has_the_identity_of_the_loader() -> None:
    model = CountingModel(version="7")
    cache = DataCache(model)

    async def work() -> None:
        response = await cache.predict(request([[1.0], [2.0]]))
        assert (response.identity, response.model_version, response.degraded) == (model.identity(), "7", False)
        assert cache.identity() == model.identity()

    run(work, cache)


# ---- keys --------------------------------------------------------------------------------------------------------


def test_two_loaders_and_two_kinds_of_cache_share_a_store_and_no_entry(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/cache.db"

    def asked(cache: Predictor) -> str:
        states = []

        async def work() -> None:
            one = request([[1.0]])
            await cache.predict(one)
            states.append(next(note.value for note in one.context.notes if "cache" in note.key))

        run(work, cache, store=store)
        return str(states[0])

    def data(version: str, digest: str) -> DataCache:
        return DataCache(CountingModel(version=version, digest=digest), store_timeout=5)

    assert [asked(data("1", "a")), asked(data("1", "a"))] == ["miss", "hit"]
    assert [asked(data("2", "a")), asked(data("1", "b")), asked(data("1", "a"))] == ["miss", "miss", "hit"]
    whole = PredictionCache(CountingModel(version="1", digest="a"), store_timeout=5)
    assert [asked(whole), asked(whole), asked(data("1", "a"))] == ["miss", "hit", "hit"]


def test_a_row_is_prepared_anew_once_its_time_is_over() -> None:
    clock, model = FakeClock(), CountingModel()
    cache = DataCache(model, ttl=10)

    async def work() -> None:
        await ask(cache, 1)
        await clock.advance(9)
        assert (await ask(cache, 1))[1] == "hit"
        await clock.advance(2)
        assert (await ask(cache, 1))[1] == "miss"

    run(work, cache, clock)


def test_what_has_no_key_goes_past_the_cache() -> None:
    model = CountingModel()
    cache = DataCache(model)

    async def work() -> None:
        asked = request([[1.0]], parameters={"odd": object()})
        await cache.predict(asked)
        assert noted(asked.context, "data-cache") == "bypass"

    run(work, cache)


def test_a_caller_may_ask_for_a_fresh_row_and_that_it_is_not_kept() -> None:
    model = CountingModel()
    cache = DataCache(model)

    async def work() -> None:
        assert (await ask(cache, 1, 2, headers={"cache-control": "no-store"}))[1] == "bypass"
        assert (await ask(cache, 1))[1] == "miss"
        assert (await ask(cache, 1, 2, headers={"cache-control": "no-cache"}))[1] == "bypass"
        assert (await ask(cache, 1, 2))[1] == "hit"
        assert loaded(model) == [[1, 2], [1], [1, 2]]

    run(work, cache)


# ---- several at once ---------------------------------------------------------------------------------------------


def test_a_row_that_is_under_way_is_waited_for_and_the_rest_is_loaded_meanwhile() -> None:
    clock, slow = FakeClock(), SlowModel(seconds=1)
    cache = DataCache(slow)

    async def work() -> None:
        first = asyncio.create_task(ask(cache, 1, 2))
        await clock.advance(0.5)
        second = asyncio.create_task(ask(cache, 2, 3))
        await clock.advance(0.5)
        assert first.done()
        assert not second.done()
        await clock.advance(1)
        assert await first == ([1, 2], "miss")
        assert await second == ([2, 3], "1 miss, 1 joined")
        assert loaded(slow) == [[1, 2], [3]]

    run(work, cache, clock)


def test_who_leaves_ends_only_what_nobody_else_waits_for() -> None:
    clock, slow = FakeClock(), SlowModel(seconds=1)
    cache = DataCache(slow)

    async def work() -> None:
        first = asyncio.create_task(ask(cache, 1, 2))
        await clock.advance(0.1)
        second = asyncio.create_task(ask(cache, 2))
        await clock.advance(0.1)
        first.cancel()
        await clock.advance(0.1)
        assert (first.cancelled(), slow.cancelled) == (True, 0)
        second.cancel()
        await clock.advance(0.1)
        assert (second.cancelled(), slow.cancelled, slow.running) == (True, 1, 0)
        third = asyncio.create_task(ask(cache, 2))
        await clock.advance(1)
        assert await third == ([2], "miss")

    run(work, cache, clock)


def test_a_deadline_is_each_callers_own() -> None:
    clock, slow = FakeClock(), SlowModel(seconds=1)
    cache = DataCache(slow)

    async def work() -> None:
        with pytest.raises(DeadlineExceeded):
            await ask(cache, 1, deadline=clock.monotonic())
        assert slow.calls == 0

    run(work, cache, clock)


@pytest.mark.parametrize("error", [NotFound, InvalidInput])
def test_a_row_that_cannot_be_had_fails_only_who_asked_for_it(error: type[Exception]) -> None:
    model = Spoilt()
    model.error = error
    cache = DataCache(model)

    async def work() -> None:
        spoilt, well = asyncio.create_task(ask(cache, 1, -1, 2)), asyncio.create_task(ask(cache, 2))
        with pytest.raises(error, match=r"^row 2 of 3: there is no such row$"):
            await spoilt
        assert (await well)[0] == [2]
        assert (await ask(cache, 1, 2))[1] == "hit"
        with pytest.raises(error, match=r"^row 3 of 3: there is no such row$"):
            await ask(cache, 1, 2, -1)  # it alone is missing, and is loaded alone
        with pytest.raises(error, match=r"^there is no such row$"):
            await ask(cache, -1)

    run(work, cache)


def test_a_loader_that_is_busy_is_not_asked_again_for_each_row() -> None:
    model = Spoilt()
    model.error = Overloaded
    cache = DataCache(model)

    async def work() -> None:
        with pytest.raises(Overloaded):
            await ask(cache, 1, -1, 2)
        assert model.calls == 1

    run(work, cache)


def test_the_notes_of_the_loader_arrive_once() -> None:
    class Noting(Wrapper):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            request.context.note("from", "the loader")
            return await self.inner.predict(request)

    cache = DataCache(Noting(CountingModel()))

    async def work() -> None:
        asked = request([[1.0], [2.0], [3.0]])
        await cache.predict(asked)
        assert [note.value for note in asked.context.notes] == ["the loader", "miss"]

    run(work, cache)


# ---- what is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"degraded": True}, {"identity": "another"}])
def test_what_stands_in_for_a_row_is_given_and_not_kept(change: dict[str, Any]) -> None:
    class Standing(Wrapper):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            return replace(await self.inner.predict(request), **change)

    model = CountingModel()
    cache = DataCache(Standing(model))

    async def work() -> None:
        assert [await ask(cache, 1, 2), await ask(cache, 1, 2)] == [([1, 2], "miss")] * 2
        assert model.calls == 2

    run(work, cache)


def test_a_row_that_is_too_large_is_given_and_not_kept() -> None:
    cache = DataCache(CountingModel(), max_entry_bytes=1)

    async def work() -> None:
        assert [(await ask(cache, 1))[1], (await ask(cache, 1))[1]] == ["miss", "miss"]

    assert run(work, cache)["too_large_total", "counting"] == 2


def test_a_store_that_is_dead_costs_a_preparation_and_no_request() -> None:
    cache = DataCache(CountingModel(), store="sqlite:////dev/null/cache.db")

    async def work() -> None:
        for first in range(0, 20, 2):
            assert await ask(cache, first, first + 1) == ([first, first + 1], "miss")

    run(work, cache)


def test_many_keys_are_one_call_of_a_store_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mlpatterns.stores.cache_sqlite import SqliteCache

    calls: list[int] = []
    read = SqliteCache.get_many

    async def counted(self: CacheStore, keys: Any) -> dict[str, CacheEntry]:
        calls.append(len(keys))
        return await read(self, keys)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteCache, "get_many", counted)
    cache = DataCache(CountingModel(), store_timeout=5)

    async def work() -> None:
        await ask(cache, *range(50))
        assert calls == [50]

    run(work, cache, store=f"sqlite:///{tmp_path}/cache.db")


# ---- composition -------------------------------------------------------------------------------------------------


def test_a_loader_without_identity_or_rows_is_refused_at_start() -> None:
    async def nothing() -> None: ...

    with pytest.raises(CompositionError, match="a DataCache around 'counting'"):
        run(nothing, DataCache(CountingModel(digest=None)))
    whole = PythonModel(
        lambda: None, lambda _, inputs: inputs, inputs=[TensorSpec("x", "FP32", (3,))], digest="d",
        outputs=[TensorSpec("x", "FP32", (3,))],
    )  # fmt: skip
    with pytest.raises(CompositionError, match=r"the inputs of .* have no row axis"):
        run(nothing, DataCache(whole))


@pytest.mark.parametrize("options", [{"ttl": 0}, {"ttl": inf}, {"max_entry_bytes": 0}, {"store_timeout": 0}])
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CompositionError):
        DataCache(CountingModel(), **options)


def test_a_prediction_cache_may_be_around_it() -> None:
    loader, model = CountingModel("loader"), CountingModel()
    whole = PredictionCache(Pipeline(DataCache(Renamed(loader)), model))

    async def work() -> None:
        for state in ("miss", "hit"):
            asked = request([[1.0]])
            await whole.predict(asked)
            assert noted(asked.context, "cache") == state
        assert (loader.calls, model.calls) == (1, 1)

    run(work, whole)


class Renamed(Wrapper):
    """Gives its output the name that a CountingModel takes."""

    @property
    def metadata(self) -> Any:
        outputs = (TensorSpec("input", "FP32", (-1, 1)),)
        return replace(self.inner.metadata, outputs=outputs, primary_output="input")

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await self.inner.predict(request)
        return replace(answer, outputs={"input": answer.outputs["probabilities"]})


# ---- operations --------------------------------------------------------------------------------------------------


def operation(cache: DataCache, name: str) -> Any:
    (found,) = [one for one in cache.operations if one.name == name]
    return found


class ByKey(CountingModel):
    """A loader of keys: the number that one is, if it is one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        key = TensorSpec("key", "BYTES", (-1, 1), content="key")
        self._described = replace(self._described, inputs=(key,), sample={"key": np.array([[b"0"]], object)})

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        keys = request.inputs["key"].ravel().tolist()
        if not all(key.isdigit() for key in keys):
            raise NotFound("there is no such key")
        numbers = np.array([[float(key)] for key in keys], np.float32)
        return InferenceResponse({"probabilities": numbers}, self.name, "1", self.identity())


def caller(clock: FakeClock, seconds: float = inf) -> Caller:
    return Caller("ann", {}, clock.monotonic() + seconds)


def test_keys_are_warmed_some_at_a_time_and_each_is_counted_once() -> None:
    clock, model = FakeClock(), ByKey()
    cache = DataCache(model)

    async def work() -> None:
        keys = [str(number) for number in range(2 * AT_ONCE + 3)]
        warm = operation(cache, "data_cache/warm")
        told = await warm.handler(WarmRequest([*keys, "bad", "0"]), caller(clock))
        assert (told.prepared, told.there, told.left) == (len(keys), 0, 0)
        assert told.failed == {"bad": "there is no such key"}
        again = await warm.handler(WarmRequest(keys), caller(clock))
        assert (again.prepared, again.there, again.failed) == (0, len(keys), {})
        assert max(len(one.inputs["key"]) for one in model.requests) == AT_ONCE
        asked = request({"key": np.array([[b"7"]], object)})
        await cache.predict(asked)
        assert noted(asked.context, "data-cache") == "hit"

    run(work, cache, clock)


def test_warming_ends_with_the_time_of_its_request_and_says_what_is_left() -> None:
    class Dawdling(ByKey):
        async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
            await runtime.clock.sleep(1)

    clock = FakeClock()
    cache = DataCache(Dawdling())

    async def work() -> None:
        keys = [str(number) for number in range(5 * AT_ONCE)]
        warming = asyncio.create_task(
            operation(cache, "data_cache/warm").handler(WarmRequest(keys), caller(clock, 1.5))
        )
        await clock.advance(10)
        told = await warming
        assert (told.prepared, told.left) == (2 * AT_ONCE, 3 * AT_ONCE)

    run(work, cache, clock)


def test_keys_whose_turn_takes_too_long_are_left_and_did_not_fail() -> None:
    """In real time, which ends the wait for what is under way."""
    cache = DataCache(Slow())

    async def work() -> None:
        warm = operation(cache, "data_cache/warm")
        told = await warm.handler(WarmRequest(["1", "2"]), Caller("ann", {}, monotonic() + 0.1))
        assert (told.prepared, told.failed, told.left) == (0, {}, 2)

    run(work, cache)


class Slow(ByKey):
    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        await runtime.clock.sleep(0.5)


def test_what_is_not_loaded_by_key_cannot_be_warmed() -> None:
    clock, cache = FakeClock(), DataCache(CountingModel())

    async def work() -> None:
        with pytest.raises(Unsupported, match="whose loader takes keys"):
            await operation(cache, "data_cache/warm").handler(WarmRequest(["0"]), caller(clock))

    run(work, cache, clock)


def test_clearing_forgets_and_what_was_asked_before_it_is_not_kept() -> None:
    clock, slow = FakeClock(), SlowModel(seconds=1)
    cache = DataCache(slow)

    async def work() -> None:
        first = asyncio.create_task(ask(cache, 1, 2))
        await clock.advance(1)
        await first
        assert (await operation(cache, "data_cache").handler(None, caller(clock))).miss == 2
        late = asyncio.create_task(ask(cache, 3))
        await clock.advance(0.5)
        assert (await operation(cache, "data_cache/clear").handler(None, caller(clock))).cleared == 2
        await clock.advance(1)
        await late
        again = asyncio.create_task(ask(cache, 3))
        await clock.advance(1)
        assert (await again)[1] == "miss"

    run(work, cache, clock)


def test_an_error_of_a_loader_that_fails_is_passed_on_with_its_code() -> None:
    cache = DataCache(FlakyModel(error=Unavailable("it is down")))

    async def work() -> None:
        with pytest.raises(Unavailable, match="it is down"):
            await ask(cache, 1, 2)

    run(work, cache)
