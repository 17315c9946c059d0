"""circuit_breaker: its demo holds on the real model, and each claim fails where a piece does not keep it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlpatterns import (
    CircuitBreaker,
    Fallback,
    InferenceRequest,
    InferenceResponse,
    Limit,
    Predictor,
    Unavailable,
    Wrapper,
)
from mlpatterns.cli import main
from mlpatterns.load import loaded
from mlpatterns.patterns.management import circuit_breaker
from mlpatterns.pieces.circuit_breaker.state import BreakerState
from mlpatterns.testing import CountingModel, client

WORKS, ALONE, SAID, TRIED, RECOVERED, ENDS, SOON = (
    "a model that works is always asked",
    "after 10 failures it is left alone",
    "meanwhile all are answered, and the answers say so",
    "then a few requests find that it still fails",
    "and later that it has recovered",
    "1000 a second for 10 s: each is answered or refused",
    "so the answered ones do not wait behind a long queue",
)


def report(codes: dict[str, int], most: int) -> Any:
    """What a load found, as far as the demo looks at it."""
    report = SimpleNamespace(status_codes=codes, good_latencies=SimpleNamespace(p99=0.25))
    return SimpleNamespace(report=report, most=most)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setattr(circuit_breaker, "ASKED", 15)
    monkeypatch.setattr(circuit_breaker, "WAIT", 0.4)
    monkeypatch.setattr(circuit_breaker, "loaded", unloaded)


async def unloaded(target: str, *_: Any, **options: Any) -> Any:
    """The loads of the demo take 20 s: one test runs them, in short."""
    return report({"200": 7828, "503": 2172}, 200 if target == circuit_breaker.BOUNDED else 2048)


class PassThrough(CircuitBreaker):
    """No breaker at all."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await self.inner.predict(request)


class Stuck(CircuitBreaker):
    """Never tries the model again."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner, **(options | {"wait_duration_in_open_state": 600.0}))


class Trusting(CircuitBreaker):
    """Closes as soon as its wait is over."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        machine = self._machine
        if machine.state is BreakerState.OPEN and machine.seconds_left(self._clock.monotonic()) == 0:
            machine.force(BreakerState.CLOSED, self._clock.monotonic())
        return await super().predict(request)


class Open(CircuitBreaker):
    """Refuses whatever comes."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        raise Unavailable("open")


class NoFallback(Wrapper):
    """Nobody answers in the model's place."""

    def __init__(self, inner: Predictor, *rungs: Predictor, **options: Any) -> None:
        super().__init__(inner, **options)


class Silent(Fallback):
    """Does not say that somebody else answered."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        response = await super().predict(request)
        request.context.notes.clear()
        return response


def failing() -> set[str]:
    async def ask() -> set[str]:
        async with client(circuit_breaker.app) as http:
            return {row.claim for row in (await circuit_breaker.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "circuit_breaker"]) == 0
    out = capsys.readouterr().out
    assert all(f"holds    {claim}" in out for claim in (WORKS, ALONE, SAID, TRIED, RECOVERED, ENDS, SOON))


def test_without_a_breaker_the_command_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker, "CircuitBreaker", PassThrough)
    assert main(["demo", "circuit_breaker"]) == 1


@pytest.mark.parametrize(
    ("piece", "broken", "claims"),
    [
        ("CircuitBreaker", PassThrough, {ALONE, TRIED}),
        ("CircuitBreaker", Stuck, {TRIED, RECOVERED}),
        ("CircuitBreaker", Trusting, {TRIED}),
        ("CircuitBreaker", Open, {WORKS, ALONE, TRIED, RECOVERED}),
        ("Fallback", NoFallback, {SAID}),
        ("Fallback", Silent, {SAID}),
    ],
)
def test_each_claim_fails_where_a_piece_does_not_keep_it(
    piece: str, broken: type, claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, piece, broken)
    assert failing() == claims


@pytest.mark.parametrize(
    ("codes", "most", "claims"),
    [
        ({"200": 9, "503": 1}, 200, set()),
        ({"200": 9, "503": 1}, 201, {SOON}),
        ({"200": 9, "503": 1}, 0, {SOON}),
        ({"200": 8, "500": 1, "503": 1}, 200, {ENDS}),
        ({"0": 1, "200": 8, "503": 1}, 200, {ENDS}),
        ({"200": 10}, 200, {ENDS}),
    ],
)
def test_the_claims_of_the_load_fail_where_the_bounds_do_not_keep_them(
    codes: dict[str, int], most: int, claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(*_: Any, **options: Any) -> Any:
        return report(codes, most)

    monkeypatch.setattr(circuit_breaker, "loaded", found)
    assert {row.claim for row in asyncio.run(circuit_breaker.overload()) if not row.holds} == claims


@pytest.mark.slow  # a server, loaded for two seconds
@pytest.mark.parametrize("bounded", [True, False])
def test_the_load_itself_in_short_and_without_the_bounds_more_wait(
    bounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def once(target: str, body: bytes, *, rate: float, seconds: float) -> Any:
        return await loaded(target, body, rate=rate, seconds=seconds) if seconds == 1.0 else report({}, 0)

    monkeypatch.setattr(circuit_breaker, "loaded", once)
    monkeypatch.setattr(circuit_breaker, "SECONDS", 1.0)
    monkeypatch.setattr(circuit_breaker, "RATE", 2000)  # so that some are refused on any machine
    if not bounded:
        monkeypatch.setattr(circuit_breaker, "BOUNDED", circuit_breaker.UNBOUNDED)
    ends, soon = asyncio.run(circuit_breaker.overload())
    assert soon.holds is bounded, soon
    assert ends.holds or not bounded, ends


class Held(CountingModel):
    """Answers nobody until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def work(self, runtime: Any, request: InferenceRequest) -> None:
        await self.go.wait()


def test_a_hundred_are_inside_a_hundred_wait_and_all_others_are_told_to_come_back() -> None:
    async def work() -> None:
        model = Held()
        async with client(circuit_breaker.guarded(model)) as http:
            asking = [asyncio.create_task(circuit_breaker.ask(http)) for _ in range(250)]
            refused: set[asyncio.Task[Any]] = set()
            while len(refused) < 50:
                refused = {task for task in asking if task.done()}
                await asyncio.sleep(0.01)
            assert {(one.result().status_code, one.result().headers["retry-after"]) for one in refused} == {(503, "1")}
            assert (len(refused), model.running) == (50, 100)
            model.go.set()
            answers = await asyncio.gather(*asking)
            assert sum(answer.status_code == 200 for answer in answers) == 200

    asyncio.run(work())


def test_the_books_routes_answer_as_in_the_book() -> None:
    async def work() -> None:
        async with client(circuit_breaker.app) as http:
            sample = {"data": [[5.1, 3.5, 1.4, 0.2]]}
            one = (await http.post("/predict", json=sample)).json()
            assert len(one["prediction"]) == 3
            assert one["prediction"][0] > 0.9
            assert (await http.post("/predict/label", json=sample)).json() == {"prediction": "setosa"}
            assert (await http.get("/predict/test")).json() == one
            assert (await http.get("/predict/test/label")).json() == {"prediction": "setosa"}
            assert (await http.get("/label")).json() == {"0": "setosa", "1": "versicolor", "2": "virginica"}
            assert (await http.get("/health")).json() == {"health": "ok"}
            metadata = (await http.get("/metadata")).json()
            assert (metadata["data_structure"], metadata["prediction_structure"]) == ("(1,4)", "(1,3)")
            assert (await http.post("/predict", json={"data": [["a"] * 4]})).status_code == 400

    asyncio.run(work())


def test_the_bounds_are_the_books() -> None:
    limit = circuit_breaker.build()
    assert isinstance(limit, Limit)
    assert (limit.max_concurrency, limit.max_queue) == (100, 100)


def test_another_model_can_be_put_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_MODEL", "iris_binary_setosa")

    async def work() -> None:
        async with client(circuit_breaker.app) as http:
            answer = await http.post("/predict", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
            assert len(answer.json()["prediction"]) == 2

    asyncio.run(work())
