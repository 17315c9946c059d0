"""prediction_cache: its demo holds on the real model, and each claim fails where a cache does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from core import noted
from mlpatterns import (
    GoldenImages,
    InferenceRequest,
    InferenceResponse,
    Pipeline,
    PredictionCache,
    Predictor,
    Runtime,
    Unavailable,
    Wrapper,
)
from mlpatterns.cli import main
from mlpatterns.patterns.serving import prediction_cache
from mlpatterns.testing import client

REACH, EQUAL, CROWD, VERSION, DEAD = (
    "what was asked before does not reach the model",
    "a hit is what the model answered, to the last digit",
    "200 who ask the same at once reach the model once",
    "a new version never answers from the old one's cache",
    "a store that is dead fails no request",
)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setattr(prediction_cache, "GoldenImages", partial(GoldenImages, side=64))  # which cost less to draw


class PassThrough(Wrapper):
    """No cache at all."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner)


class Rounded(PredictionCache):
    """Keeps answers to two digits."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        if noted(request.context, "cache") != "hit":
            return answer
        rounded = {name: np.round(value, 2) for name, value in answer.outputs.items()}
        return replace(answer, outputs=rounded)


class Herding(PredictionCache):
    """Whoever does not find an answer asks the model himself."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        key = await self._keys.key_of(request)
        assert key is not None
        entry = await self._store.get(key[0])
        if entry is not None or "cache-control" in request.context.headers:
            return await super().predict(request)
        request.context.note("cache", "miss", public=True)
        return await self._keep(key, await self.inner.predict(request), self._store.clears)


class Blind(PredictionCache):
    """Takes all models for one."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(Anonymous(inner), **options)


class Anonymous(Wrapper):
    def identity(self) -> str | None:
        return "the model"

    @property
    def metadata(self) -> Any:
        return self.inner.metadata if isinstance(self.inner, Pipeline) else replace(self.inner.metadata, version="0")

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return replace(await self.inner.predict(request), identity="the model")


class Fragile(PredictionCache):
    """Fails where its store does."""

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        store = self._store

        def failed(error: Exception) -> None:
            raise Unavailable("the store does not answer") from error

        store._failed = failed  # type: ignore[method-assign]


def failing(cache: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(prediction_cache, "PredictionCache", cache)

    async def ask() -> set[str]:
        async with client(prediction_cache.app) as http:
            return {row.claim for row in (await prediction_cache.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "prediction_cache"]) == 0
    out = capsys.readouterr().out
    assert out.count("holds  ") == 5
    assert all(claim in out for claim in (REACH, EQUAL, CROWD, VERSION, DEAD))


def test_without_a_cache_the_command_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prediction_cache, "PredictionCache", PassThrough)
    assert main(["demo", "prediction_cache"]) == 1
    assert "4 of 5 fail" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cache", "claims"),
    [
        (PassThrough, {REACH, CROWD, VERSION, DEAD}),
        (Rounded, {EQUAL}),
        (Herding, {CROWD}),
        (Blind, {VERSION}),
        (Fragile, {DEAD}),
    ],
)
def test_each_claim_fails_where_a_cache_does_not_keep_it(
    cache: Callable[..., Predictor], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(cache, monkeypatch) == claims


def test_answers_that_are_all_the_same_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Constant(PredictionCache):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            answer = await super().predict(request)
            return replace(answer, outputs={name: np.zeros_like(value) for name, value in answer.outputs.items()})

    assert EQUAL in failing(Constant, monkeypatch)


def test_a_key_is_answered_as_in_the_book_and_an_unknown_one_is_a_404() -> None:
    async def work() -> None:
        async with client(prediction_cache.app) as http:
            labels = await http.post("/predict/label", json={"data": ["0000", "0012", "0023"]})
            assert labels.json() == {"prediction": ["0", "5", "9"]}
            for _ in range(2):  # a miss, then a hit
                (one,) = (await http.post("/predict", json={"data": "0000"})).json()["prediction"]
                assert (len(one), sum(one)) == (10, pytest.approx(1, abs=1e-5))
            assert (await http.get("/label")).json() == list("0123456789")
            described = (await http.get("/metadata")).json()
            assert (described["data_sample"], described["data_structure"]) == ("0000", "(1,1)")
            unknown = await http.post("/predict", json={"data": "9999"})
            assert unknown.status_code == 404
            assert unknown.json() == {
                "error": "stage 'photos/images': there is no image '9999'; the keys are '0000' to '0023'"
            }
            assert "x-mlp-cache" not in unknown.headers
            assert (await http.get("/cache")).json()["miss"] == 3  # labels are asked for the primary output alone

    asyncio.run(work())
