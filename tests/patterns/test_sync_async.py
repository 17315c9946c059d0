"""sync_async: its demo holds, its answers are the book's, and each claim fails where it is not kept."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns import (
    Evidence,
    InferenceRequest,
    InferenceResponse,
    JobQueue,
    OnnxModel,
    Predictor,
    SyncAsync,
    Unavailable,
)
from mlpatterns.cli import main
from mlpatterns.patterns.serving import sync_async as pattern
from mlpatterns.testing import client, digit_images, job_ended, until_ready

NOW, LATER, MENDED, NO_JOB, NO_QUEUE = (
    "what the fast model says now",
    "what the accurate model says later",
    "where they differ the later answer is mostly the right one",
    "if the fast model fails, it says so and there is no job",
    "if the queue fails, the fast answer comes, marked degraded",
)
WELL = {"digits_fast": "ok", "digits_accurate": "ok"}


@pytest.fixture(autouse=True)
def home(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_JOBS", f"sqlite:///{tmp_path}/jobs.db")


class Reversed(SyncAsync):
    """Says the least probable class now."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        outputs = dict(answer.outputs)
        if outputs.get("probabilities", outputs["job_id"]).ndim == 2 and "label" in outputs:
            outputs["probabilities"] = -outputs["probabilities"]
        return replace(answer, outputs=outputs)


class Hasty(SyncAsync):
    """Queues first."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        await self._queued(replace(request, context=request.context.at(self._path), outputs=()))
        return await super().predict(replace(request, context=request.context.detached()))


class Fragile(SyncAsync):
    """Fails where its queue does."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        if answer.degraded:
            raise Unavailable("the queue does not answer")
        return answer


class Unmarked(SyncAsync):
    """Does not say that there will be no answer later."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return replace(await super().predict(request), degraded=False)


class Stubborn(JobQueue):
    """Shows a label that no model gave."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner, show=lambda response, described: "ten", **options)


def fast_twice(name: str) -> OnnxModel:
    """The fast model in the place of the accurate one too."""
    return OnnxModel("digits_fast")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, kind: Callable[..., Any]) -> set[str]:
    monkeypatch.setattr(pattern, name, kind)
    monkeypatch.setattr(pattern, "SEEN", 200 if kind is fast_twice else 80)

    async def ask() -> Evidence:
        async with client(pattern.app) as http:
            return await pattern.demo(http)

    evidence = asyncio.run(ask())
    return {row.claim for row in evidence.rows if not row.holds}


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "sync_async"]) == 0
    out = capsys.readouterr().out
    assert [claim for claim in (NOW, LATER, MENDED, NO_JOB, NO_QUEUE) if claim not in out] == []
    assert out.endswith("sync_async: all 5 claims hold\n")


@pytest.mark.parametrize(
    ("name", "kind", "claims"),
    [
        ("SyncAsync", Reversed, {NOW}),
        ("SyncAsync", Hasty, {NO_JOB}),
        ("SyncAsync", Fragile, {NO_QUEUE}),
        ("SyncAsync", Unmarked, {NO_QUEUE}),
        ("JobQueue", Stubborn, {LATER, MENDED}),
        ("OnnxModel", fast_twice, {LATER, MENDED}),
    ],
)
def test_each_claim_fails_where_it_is_not_kept(
    name: str, kind: Callable[..., Any], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(monkeypatch, name, kind) == claims


def test_the_answers_are_those_of_the_book() -> None:
    async def work() -> None:
        async with client(pattern.app) as http:
            await until_ready(http, "/health/all", WELL)
            assert (await http.get("/health")).json() == {"health": "ok"}
            assert (await http.get("/label")).json() == [str(digit) for digit in range(10)]
            described = (await http.get("/metadata")).json()
            assert (described["data_structure"], described["prediction_structure"]) == ("(1,1)", "(1,10)")
            image, digit = digit_images(1)[0]
            for asked in (
                http.post("/predict", json={"image_data": base64.b64encode(image).decode()}),
                http.get("/predict/test"),
                http.get("/predict/test/label"),
            ):
                answer = await asked
                assert answer.status_code == 200
                assert list(answer.json()) == ["job_id", "digits_fast"]
                assert answer.json()["digits_fast"] == (digit if answer.request.method == "POST" else "0")
                shown = await job_ended(http, answer.json()["job_id"])
                assert shown == {"prediction": answer.json()["digits_fast"], "status": "done"}

    asyncio.run(work())
