"""synchronous: its demo holds on the real model, and each claim fails where a server does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from mlpatterns import Evidence, Predictor, serve
from mlpatterns.cli import main
from mlpatterns.patterns.serving import synchronous
from mlpatterns.patterns.serving.synchronous import ALIKE, LATE, MISTAKE, SAME
from mlpatterns.server.app import App
from mlpatterns.testing import client

Failing = Callable[[str], set[str]]
pytestmark = [pytest.mark.integration, pytest.mark.slow]

# A whole app in a file: the demo's process runs it, with what a test puts at its end.
APP = """
import numpy as np
from mlpatterns import PythonModel, TensorSpec, serve

def scores(_, inputs):
    raw = np.stack([inputs["input"].sum(axis=1), inputs["input"][:, 3], inputs["input"][:, 0]], axis=1)
    return {"probabilities": (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)}

def build():
    return PythonModel(
        lambda: None, scores, name="iris_sklearn_svc", version="1", digest="0" * 64,
        inputs=[TensorSpec("input", "FP32", (-1, 4))], outputs=[TensorSpec("probabilities", "FP32", (-1, 3))],
        labels=("setosa", "versicolor", "virginica"))

app = serve(lambda: build())
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Failing:
    """The claims that fail when the demo's process runs APP with `more` at its end."""

    def run(more: str) -> set[str]:
        names: dict[str, Any] = {}
        exec(APP, names)
        (tmp_path / "its_app.py").write_text(APP + dedent(more))
        monkeypatch.setattr(synchronous, "SERVED", str(tmp_path / "its_app.py"))
        monkeypatch.setattr(synchronous, "build", names["build"])
        return {row.claim for row in evidence(serve(names["build"])).rows if not row.holds}

    return run


def evidence(app: App) -> Evidence:
    async def ask() -> Evidence:
        async with client(app) as http:
            return await synchronous.demo(http)

    return asyncio.run(ask())


def test_every_claim_holds_for_the_trained_model(
    trained_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    assert main(["demo", "synchronous"]) == 0
    out = capsys.readouterr().out
    assert [claim for claim in (SAME, ALIKE, LATE, MISTAKE) if claim not in out] == []
    assert out.endswith("synchronous: all 4 claims hold\n")


def test_the_demo_holds_for_any_right_model_in_the_place_of_its_own(failing: Failing) -> None:
    assert failing("") == set()


@pytest.mark.parametrize(
    ("more", "claims"),
    [
        (
            """
            from mlpatterns.server.grpc import inference
            whole = inference.encode_response
            def wrong(response, *rest):
                response.outputs["probabilities"] += np.float32(1e-6)
                return whole(response, *rest)
            inference.encode_response = wrong
            """,
            {SAME},
        ),
        (
            """
            def scores(_, inputs):
                return {"probabilities": np.full((len(inputs["input"]), 3), 1 / 3, np.float32)}
            """,
            {SAME},
        ),
        (
            """
            from mlpatterns.server.grpc import inference
            whole = inference.encode_metadata
            inference.encode_metadata = lambda described, identity: whole(described, "another")
            """,
            {ALIKE},
        ),
        (
            """
            from mlpatterns.server.oip import model
            model._tighten = lambda call, timeout: None
            """,
            {LATE},
        ),
        (
            """
            from mlpatterns.server.grpc.call import GrpcCall
            whole = GrpcCall.refusal
            def refusal(call, error):
                answer = whole(call, error)
                answer.details = "hue: " + answer.details
                return answer
            GrpcCall.refusal = refusal
            """,
            {MISTAKE},
        ),
    ],
    ids=["other digits on one face", "the same digits for all", "another digest", "deadlines ignored", "other words"],
)
def test_a_server_that_breaks_a_promise_fails_that_claim(failing: Failing, more: str, claims: set[str]) -> None:
    assert failing(more) == claims


def test_a_claim_that_fails_makes_the_command_exit_1(
    failing: Failing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing("from mlpatterns.server.oip import model\nmodel._tighten = lambda call, timeout: None")
    monkeypatch.setattr(synchronous, "app", serve(synchronous.build))
    assert main(["demo", "synchronous"]) == 1
    assert "synchronous: 1 of 4 fail" in capsys.readouterr().out


def test_it_serves_the_model_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_MODEL", "other@challenger")
    built: Predictor = synchronous.build()
    assert built.name == "other"
