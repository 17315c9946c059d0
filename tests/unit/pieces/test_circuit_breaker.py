"""CircuitBreaker: what counts, what does not, what others are told, and the commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core import CALLER, noted
from mlpatterns import CircuitBreaker, Limit, Predictor
from mlpatterns.errors import (
    CircuitOpen,
    DeadlineExceeded,
    ErrorCode,
    InternalError,
    Overloaded,
    PredictionError,
    Unavailable,
    error_for,
)
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.circuit_breaker.circuit_breaker import SetBreaker
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, client, request

FEW: dict[str, Any] = {"sliding_window_size": 4, "minimum_number_of_calls": 4, "wait_duration_in_open_state": 10.0,
                       "permitted_number_of_calls_in_half_open_state": 2}  # fmt: skip


def run(
    root: Predictor, work: Callable[[], Awaitable[None]], clock: FakeClock | None = None, control: str = "memory://"
) -> ProcessMetrics:
    metrics = ProcessMetrics()

    async def main() -> None:
        async with running(root, settings=Settings(control=control), clock=clock, metrics=metrics):
            await work()

    asyncio.run(main())
    return metrics


async def fails(breaker: Predictor, **options: Any) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        await breaker.predict(request([[1.0]], **options))
    return caught.value


async def state(breaker: CircuitBreaker) -> str:
    return str((await breaker._stats(None, CALLER)).state)


def test_after_enough_failures_it_refuses_and_says_when_to_come_back() -> None:
    clock, model = FakeClock(), FlakyModel()
    breaker = CircuitBreaker(model, **FEW)

    async def work() -> None:
        for _ in range(4):
            assert type(await fails(breaker)) is Unavailable
        await clock.advance(3.0)
        asked = request([[1.0]])
        with pytest.raises(CircuitOpen, match="fails or is slow") as caught:
            await breaker.predict(asked)
        assert caught.value.retry_after == 7.0
        assert noted(asked.context, "breaker") == "open"
        assert model.calls == 4
        assert breaker.health().ready  # or nobody would send what finds out that the model has recovered
        assert "OPEN" in breaker.health().reason
        figures = await breaker._stats(None, CALLER)
        assert (figures.not_permitted_calls, figures.buffered_calls) == (1, 0)

    run(breaker, work, clock)


def test_it_closes_again_when_the_calls_that_it_tries_are_answered() -> None:
    clock, model = FakeClock(), FlakyModel(fails=range(1, 5))
    breaker = CircuitBreaker(model, **FEW)

    async def work() -> None:
        for _ in range(4):
            await fails(breaker)
        await clock.advance(10.0)
        await breaker.predict(request([[1.0]]))
        assert await state(breaker) == "HALF_OPEN"
        await breaker.predict(request([[1.0]]))
        assert await state(breaker) == "CLOSED"
        assert breaker.health().reason == ""

    run(breaker, work, clock)


@pytest.mark.parametrize("code", [code for code in ErrorCode if not code.is_fault])
def test_what_is_not_the_models_fault_does_not_count(code: ErrorCode) -> None:
    breaker = CircuitBreaker(FlakyModel(error=error_for(code, "no")), **FEW)

    async def work() -> None:
        for _ in range(20):
            assert (await fails(breaker)).code is code
        figures = await breaker._stats(None, CALLER)
        assert (figures.state, figures.buffered_calls) == ("CLOSED", 0)

    run(breaker, work)


def test_what_does_not_count_gives_its_half_open_permit_back() -> None:
    clock = FakeClock()
    errors = [*[InternalError("it broke")] * 4, *[Overloaded("full")] * 5]

    class Recovering(CountingModel):
        async def work(self, runtime: Any, asked: Any) -> None:
            if errors:
                raise errors.pop(0)

    breaker = CircuitBreaker(Recovering(), **FEW)

    async def work() -> None:
        for _ in range(4):
            await fails(breaker)
        await clock.advance(10.0)
        for _ in range(5):  # more than the permits that there are
            assert type(await fails(breaker)) is Overloaded
        for _ in range(2):
            await breaker.predict(request([[1.0]]))
        assert await state(breaker) == "CLOSED"

    run(breaker, work, clock)


def test_a_client_that_leaves_does_not_count_and_gives_its_permit_back() -> None:
    clock, model = FakeClock(), SlowModel(seconds=5.0)
    breaker = CircuitBreaker(model, **FEW)

    async def work() -> None:
        for _ in range(20):
            asking = asyncio.create_task(breaker.predict(request([[1.0]])))
            await clock.advance(1.0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert (await breaker._stats(None, CALLER)).buffered_calls == 0

    run(breaker, work, clock)


@pytest.mark.parametrize(("seconds", "counted"), [(0.5, 0), (2.0, 4)])
def test_a_deadline_counts_only_where_the_call_was_slow(seconds: float, counted: int) -> None:
    """One client that gives a millisecond must not open it for all."""
    clock = FakeClock()

    class Late(SlowModel):
        async def work(self, runtime: Any, asked: Any) -> None:
            await super().work(runtime, asked)
            raise DeadlineExceeded

    breaker = CircuitBreaker(Late(seconds=seconds), slow_call_duration_threshold=1.0, **(FEW | {
        "minimum_number_of_calls": 100, "sliding_window_size": 100}))  # fmt: skip

    async def work() -> None:
        for _ in range(4):
            asking = asyncio.create_task(fails(breaker))
            await clock.advance(seconds)
            await asking
        assert (await breaker._stats(None, CALLER)).failed_calls == counted

    run(breaker, work, clock)


@pytest.mark.parametrize(("seconds", "counted"), [(0.5, 0), (2.0, 1)])
def test_a_call_cancelled_at_its_deadline_counts_as_one(seconds: float, counted: int) -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(SlowModel(seconds=60), slow_call_duration_threshold=1.0)

    async def work() -> None:
        asking = asyncio.create_task(breaker.predict(request([[1.0]], deadline=clock.monotonic() + seconds)))
        await clock.advance(seconds)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await breaker._stats(None, CALLER)).failed_calls == counted

    run(breaker, work, clock)


def test_slow_answers_open_it_too() -> None:
    clock, model = FakeClock(), SlowModel(seconds=2.0)
    breaker = CircuitBreaker(model, slow_call_duration_threshold=1.0, slow_call_rate_threshold=50.0, **FEW)

    async def work() -> None:
        for number in range(4):
            model.seconds = 2.0 if number < 2 else 0.0
            asking = asyncio.create_task(breaker.predict(request([[1.0]])))
            await clock.advance(2.0)
            await asking
        assert await state(breaker) == "OPEN"

    metrics = run(breaker, work, clock)
    values = {
        (s.family.name, dict(s.labels).get("kind")): s.values[0] for s in metrics.samples() if "calls" in s.family.name
    }
    assert values[("mlpatterns_circuit_breaker_slow_calls_total", None)] == 2
    assert values[("mlpatterns_circuit_breaker_calls_total", "successful")] == 4


def test_the_refusal_of_a_breaker_inside_is_no_failure_to_the_one_outside() -> None:
    clock, model = FakeClock(), FlakyModel()
    inner = CircuitBreaker(model, **FEW)
    outer = CircuitBreaker(inner, **(FEW | {"minimum_number_of_calls": 100, "sliding_window_size": 100}))

    async def work() -> None:
        for _ in range(4):
            await fails(outer)
        for _ in range(200):
            assert type(await fails(outer)) is CircuitOpen
        figures = await outer._stats(None, CALLER)
        assert (figures.state, figures.buffered_calls) == ("CLOSED", 4)

    run(outer, work, clock)


def test_the_refusal_of_a_full_queue_inside_is_none_either() -> None:
    model = SlowModel(seconds=5.0)
    breaker = CircuitBreaker(Limit(model, max_concurrency=1), **FEW)
    clock = FakeClock()

    async def work() -> None:
        first = asyncio.create_task(breaker.predict(request([[1.0]])))
        await clock.advance(0.1)
        for _ in range(20):
            assert type(await fails(breaker)) is Overloaded
        await clock.advance(5.0)
        await first
        assert (await breaker._stats(None, CALLER)).failed_calls == 0

    run(breaker, work, clock)


def test_a_command_forces_a_state_and_closed_takes_it_back() -> None:
    model = FlakyModel(fails=range(2, 100))
    breaker = CircuitBreaker(model, **FEW)

    async def work() -> None:
        assert (await breaker._set(SetBreaker("FORCED_OPEN"), CALLER)).by == "ann"
        assert type(await fails(breaker)) is CircuitOpen
        assert model.calls == 0
        assert (await breaker._set(SetBreaker("DISABLED"), CALLER)).state == "DISABLED"
        await breaker.predict(request([[1.0]]))
        for _ in range(20):
            assert type(await fails(breaker)) is Unavailable
        assert (await breaker._set(SetBreaker("METRICS_ONLY"), CALLER)).buffered_calls == 0
        for _ in range(20):
            assert type(await fails(breaker)) is Unavailable
        assert (await breaker._stats(None, CALLER)).failure_rate == 100.0
        assert (await breaker._set(SetBreaker("CLOSED"), CALLER)).state == "CLOSED"
        for _ in range(4):
            assert type(await fails(breaker)) is Unavailable
        assert type(await fails(breaker)) is CircuitOpen
        figures = await breaker._set(SetBreaker("CLOSED"), CALLER)  # nothing is forced: it begins anew all the same
        assert (figures.state, figures.revision) == ("CLOSED", 5)

    run(breaker, work)


def test_a_forced_state_outlives_a_restart(tmp_path: Any) -> None:
    breaker, control = CircuitBreaker(CountingModel(), **FEW), f"sqlite:///{tmp_path}/control.db"

    async def force() -> None:
        await breaker._set(SetBreaker("FORCED_OPEN"), CALLER)

    async def refused() -> None:
        assert type(await fails(breaker)) is CircuitOpen

    run(breaker, force, control=control)
    run(breaker, refused, control=control)


def test_a_command_reaches_the_breakers_of_all_workers_within_a_second(tmp_path: Any) -> None:
    settings = Settings(control=f"sqlite:///{tmp_path}/control.db")
    here, there = CircuitBreaker(CountingModel(), **FEW), CircuitBreaker(CountingModel(), **FEW)

    async def main() -> None:
        async with running(here, settings=settings), running(there, settings=settings):
            await here._set(SetBreaker("FORCED_OPEN"), CALLER)
            async with asyncio.timeout(10):  # a second, on a machine that is not busy
                while await state(there) != "FORCED_OPEN":
                    await asyncio.sleep(0.02)
            await there._set(SetBreaker("CLOSED"), CALLER)
            async with asyncio.timeout(10):
                while await state(here) != "CLOSED":
                    await asyncio.sleep(0.02)

    asyncio.run(main())


def test_over_http_the_figures_are_for_all_and_the_command_needs_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_ADMIN_TOKEN", "admin-token-of-a-test")
    monkeypatch.setenv("MLPATTERNS_CONTROL", "memory://")

    async def work() -> None:
        token = {"authorization": "Bearer admin-token-of-a-test"}
        async with client(CircuitBreaker(CountingModel())) as http:
            assert (await http.get("/breaker")).json()["state"] == "CLOSED"
            assert (await http.post("/breaker", json={"state": "FORCED_OPEN"})).status_code == 401
            wrong = await http.post("/breaker", json={"state": "AJAR"}, headers=token)
            assert (wrong.status_code, "AJAR" in wrong.text) == (400, True)
            assert (await http.post("/breaker", json={}, headers=token)).status_code == 400
            forced = await http.post("/breaker", json={"state": "FORCED_OPEN"}, headers=token)
            assert (forced.status_code, forced.json()["state"]) == (200, "FORCED_OPEN")
            refused = await http.post("/predict", json={"data": [[1.0]]})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
            assert refused.headers["x-mlp-code"] == "CIRCUIT_OPEN"  # so that breakers of other processes know

    asyncio.run(work())
