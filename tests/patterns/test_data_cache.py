"""data_cache: its demo holds on the real model, and each claim fails where a cache does not keep it."""

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
from mlpatterns import DataCache, GoldenImages, InferenceRequest, InferenceResponse, Predictor, load_settings
from mlpatterns.cli import main
from mlpatterns.patterns.serving import data_cache
from mlpatterns.pieces.cache.rows import WarmRequest, WarmResult
from mlpatterns.predictor import Caller
from mlpatterns.testing import client

AGAIN, EQUAL, ONCE, WARMED, DATA, PREDICTION = (
    "what was prepared before is not prepared again",
    "a hit answers as the image itself does, to the last digit",
    "the keys of one request are one look-up and one loading",
    "keys that are warmed are hits, and a bad one fails alone",
    "on one store with the other: data_cache",
    "on one store with the other: prediction_cache",
)
CLAIMS = (AGAIN, EQUAL, ONCE, WARMED, DATA, PREDICTION)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setattr(data_cache, "GoldenImages", partial(GoldenImages, side=64))  # which cost less to draw


class Forgetful(DataCache):
    """Prepares everything, every time; the rest is as it should be."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        await self._store.clear(self._keys.of_model())
        return await super().predict(request)


class Rounded(DataCache):
    """Keeps pixels to one digit."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        if noted(request.context, "data-cache") != "hit":
            return answer
        return replace(answer, outputs={name: np.round(value, 1) for name, value in answer.outputs.items()})


class OneByOne(DataCache):
    """Looks up and loads each key by itself."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        (name, rows), answers = next(iter(request.inputs.items())), []
        for row in range(len(rows)):
            asked = replace(request, inputs={name: rows[row : row + 1]})
            answers.append(await super().predict(asked))
        joined = {key: np.concatenate([one.outputs[key] for one in answers]) for key in answers[0].outputs}
        return replace(answers[0], outputs=joined)


class Cold(DataCache):
    """Says that it warmed what it did not."""

    async def _warm(self, asked: WarmRequest, caller: Caller) -> WarmResult:
        return WarmResult(len(asked.keys) - 1, 0, {"9999": "no"}, 0)


class Boasting(DataCache):
    """Says that it has what it prepares."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        if noted(request.context, "data-cache") == "miss":
            request.context.note("data-cache", "hit", public=True)
        return answer


def failing(cache: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(data_cache, "DataCache", cache)

    async def ask() -> set[str]:
        async with client(data_cache.app) as http:
            return {row.claim for row in (await data_cache.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "data_cache"]) == 0
    out = capsys.readouterr().out
    assert out.count("holds  ") == len(CLAIMS)
    assert all(claim in out for claim in CLAIMS)
    assert " kB" in out


def test_with_a_cache_that_keeps_nothing_the_command_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data_cache, "DataCache", Forgetful)
    assert main(["demo", "data_cache"]) == 1
    assert "of 6 fail" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cache", "claims"),
    [
        (Forgetful, {AGAIN, WARMED, DATA}),
        (Rounded, {EQUAL}),
        (OneByOne, {ONCE}),
        (Cold, {WARMED}),
        (Boasting, {DATA}),
    ],
)
def test_each_claim_fails_where_a_cache_does_not_keep_it(
    cache: Callable[..., Predictor], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(cache, monkeypatch) == claims


def test_caches_that_read_each_others_entries_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prediction cache of the demo is broken here: it finds what it never kept."""
    import mlpatterns

    class Guessing(mlpatterns.PredictionCache):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            answer = await super().predict(request)
            request.context.note("cache", "hit", public=True)
            return answer

    monkeypatch.setattr(mlpatterns, "PredictionCache", Guessing)
    assert failing(DataCache, monkeypatch) == {PREDICTION}


def test_answers_that_are_all_the_same_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Constant(DataCache):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            answer = await super().predict(request)
            return replace(answer, outputs={name: np.zeros_like(value) for name, value in answer.outputs.items()})

    assert EQUAL in failing(Constant, monkeypatch)


# ---- the book's answers ----


def ask(method: str, path: str, body: Any = None, status: int = 200) -> Any:
    async def work() -> Any:
        async with client(data_cache.app) as http:
            answer = await http.request(method, path, json=body)
            assert answer.status_code == status, answer.text
            return answer.json()

    return asyncio.run(work())


def test_a_key_is_answered_as_in_the_book() -> None:
    (row,) = ask("POST", "/predict", {"data": "0000"})["prediction"]
    assert (len(row), sum(row)) == (10, pytest.approx(1, abs=1e-5))
    assert ask("GET", "/predict/test") == {"prediction": [row]}
    assert ask("GET", "/predict/test/label") == ask("POST", "/predict/label", {"data": "0000"}) == {"prediction": "0"}
    assert len(ask("POST", "/predict", {"data": ["0000", "0012"]})["prediction"]) == 2
    assert ask("GET", "/label") == list("0123456789")
    described = ask("GET", "/metadata")
    assert (described["data_type"], described["data_structure"], described["data_sample"]) == ("str", "(1,1)", "0000")
    assert described["prediction_structure"] == "(1,10)"


def test_an_unknown_key_is_a_404_and_spoils_no_other() -> None:
    async def work() -> None:
        async with client(data_cache.app) as http:
            unknown = await http.post("/predict", json={"data": ["0001", "../0000"]})
            assert unknown.status_code == 404
            assert "there is no image '../0000'; the keys are '0000' to '0023'" in unknown.json()["error"]
            assert "x-mlp-data-cache" not in unknown.headers
            known = await http.post("/predict", json={"data": "0001"})
            assert (known.status_code, known.headers["x-mlp-data-cache"]) == (200, "hit")

    asyncio.run(work())


def test_to_warm_needs_the_admin_token_and_a_list_of_keys() -> None:
    async def work() -> None:
        async with client(data_cache.build, settings=load_settings({"admin_token": "t"}).settings) as http:
            for headers, body, status in (
                ({}, {"keys": ["0000"]}, 401), ({"x-admin-token": "no"}, {"keys": ["0000"]}, 401),
                ({"x-admin-token": "t"}, {}, 400), ({"x-admin-token": "t"}, {"keys": "0000"}, 400),
                ({"x-admin-token": "t"}, {"keys": []}, 400), ({"x-admin-token": "t"}, {"keys": [""]}, 400),
                ({"x-admin-token": "t"}, {"keys": ["0"] * 1001}, 400), ({"x-admin-token": "t"}, {"key": ["0"]}, 400),
            ):  # fmt: skip
                answer = await http.post("/data_cache/warm", json=body, headers=headers)
                assert (answer.status_code, list(answer.json())) == (status, ["error"]), answer.text
            told = await http.post(
                "/data_cache/warm", json={"keys": ["0001", "x", "0001"]}, headers={"x-admin-token": "t"}
            )
            assert told.json()["prepared"] == 1
            assert "there is no image 'x'" in told.json()["failed"]["x"]

    asyncio.run(work())
