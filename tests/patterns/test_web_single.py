"""web_single: its demo holds on the real model, and each claim fails where a server does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpatterns import (
    Answers,
    App,
    Context,
    Evidence,
    InferenceRequest,
    InferenceResponse,
    PythonModel,
    TensorSpec,
    Wrapper,
    serve,
)
from mlpatterns.cli import main
from mlpatterns.patterns.serving import web_single
from mlpatterns.testing import client

FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
LABELS = ("setosa", "versicolor", "virginica")


def scores(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Right on 144 of iris's 150 rows, from the petal's width alone, and different for different rows."""
    width = inputs["input"][:, 3]
    raw = np.stack([np.abs(width - centre) for centre in (0.25, 1.33, 2.03)], axis=1)
    exact = np.exp(-8 * raw) + inputs["input"][:, :1] * 1e-4
    return {"probabilities": (exact / exact.sum(axis=1, keepdims=True)).astype(np.float32)}


def constant(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"probabilities": np.full((len(inputs["input"]), 3), 1 / 3, np.float32)}


def model(predict: Callable[[None, Mapping[str, Any]], Mapping[str, Any]] = scores, fields: Any = FIELDS) -> Any:
    return PythonModel(
        lambda: None,
        predict,
        name="iris",
        inputs=[TensorSpec("input", "FP32", (-1, 4), fields=fields)],
        outputs=[TensorSpec("probabilities", "FP32", (-1, 3))],
        labels=LABELS,
        sample={"input": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)},
    )


class Mixing(Wrapper):
    """Answers a request with the answer of another, when there is another at the same time."""

    def __init__(self) -> None:
        super().__init__(model())
        self.at_work = 0
        self.last: InferenceResponse | None = None

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        self.at_work += 1
        own = await self.inner.predict(request)
        await asyncio.sleep(0)
        answer = self.last if self.at_work > 1 and self.last is not None else own
        self.last = own
        self.at_work -= 1
        return answer


def evidence(app: App) -> Evidence:
    async def ask() -> Evidence:
        async with client(app) as http:
            return await web_single.demo(http)

    return asyncio.run(ask())


def failing(app: App) -> set[str]:
    return {row.claim for row in evidence(app).rows if not row.holds}


EVERY, ACCURACY, BAD, TOGETHER = (
    "each of 3 rows gets its own answer",
    "accuracy on all 150 flowers, over HTTP",
    "a bad value is a 400 that names its column; the server lives",
    "200 requests at once, each gets the answer to its own row",
)


def test_every_claim_holds_for_the_trained_model(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    found = evidence(web_single.app)
    assert found.holds, found
    assert [row.claim for row in found.rows] == [EVERY, ACCURACY, BAD, TOGETHER]


def test_the_command_prints_the_evidence_and_exits_0(
    trained_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    assert main(["demo", "web_single"]) == 0
    out = capsys.readouterr().out
    assert out.count("holds  ") == 4
    assert out.endswith("web_single: all 4 claims hold\n")


def test_the_demo_holds_for_any_right_model_in_the_place_of_its_own() -> None:
    assert failing(serve(model)) == set()


def test_with_a_model_that_always_answers_the_same_the_command_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(web_single, "app", serve(lambda: model(constant)))
    assert main(["demo", "web_single"]) == 1
    out = capsys.readouterr().out
    assert "FAILS" in out
    assert "of 4 fail" in out


def test_a_constant_model_fails_all_that_needs_a_model() -> None:
    assert failing(serve(lambda: model(constant))) == {EVERY, ACCURACY, TOGETHER}


def test_a_server_that_answers_only_the_first_row_fails() -> None:
    def first(response: InferenceResponse, context: Context) -> Any:
        return {"prediction": response.outputs["probabilities"][0].tolist()}

    assert EVERY in failing(serve(model, answers=Answers(predict=first)))


def test_a_server_that_does_not_name_the_column_fails() -> None:
    assert failing(serve(lambda: model(fields=()))) == {BAD}


def test_a_server_that_mixes_up_concurrent_answers_fails() -> None:
    assert failing(serve(Mixing)) == {TOGETHER}


def test_a_server_that_breaks_down_is_one_sentence_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        raise ValueError

    monkeypatch.setattr(web_single, "app", serve(lambda: model(broken)))
    assert main(["demo", "web_single"]) == 1
    assert "the demo of web_single failed" in capsys.readouterr().err


def test_it_serves_the_model_that_the_settings_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n\nc\n")
    monkeypatch.setenv("MLPATTERNS_MODEL", "other@challenger")
    monkeypatch.setenv("MLPATTERNS_LABELS", str(tmp_path / "labels.txt"))
    built: Any = web_single.build()
    assert (str(built.reference), built.overrides.labels) == ("other@challenger", ("a", "b", "c"))
