"""iris_binary: its demo holds, and each claim fails for a training or a model that does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns import InferenceRequest, InferenceResponse, OnnxModel, serve, train
from mlpatterns.cli import main
from mlpatterns.patterns.serving import web_single
from mlpatterns.patterns.training import iris_binary
from mlpatterns.testing import client
from mlpatterns.training import TrainingResult

Change = Callable[[TrainingResult], TrainingResult]
FIRST = "each target's newest model serves, its first probability the target's"


def failing(home: Path) -> list[str]:
    return [row.claim for row in iris_binary.demo(home).rows if not row.holds]


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "iris_binary"]) == 0
    assert capsys.readouterr().out.endswith("iris_binary: all 4 claims hold\n")


@pytest.mark.parametrize(
    ("claim", "change"),
    [
        ("byte for byte", lambda result: replace(result, sha256=f"{result.version:064d}")),
        ("as scikit-learn does", lambda result: replace(result, parity=replace(result.parity, max_difference=0.01))),
        ("not trained on", lambda result: replace(result, metrics={**result.metrics, "accuracy": 0.5})),
    ],
)
def test_each_claim_fails_where_a_training_does_not_keep_it(
    claim: str, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iris_binary, "train", lambda *a, **k: change(train(*a, **k)))
    failed = failing(tmp_path)
    assert len(failed) == 1
    assert claim in failed[0]


def test_a_training_that_does_not_promote_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpromoted(*arguments: Any, **options: Any) -> TrainingResult:
        return train(*arguments, **{**options, "promote": False})

    monkeypatch.setattr(iris_binary, "train", unpromoted)
    assert failing(tmp_path) == [FIRST]


def test_a_model_whose_target_comes_last_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Turned(OnnxModel):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            answer = await super().predict(request)
            return replace(answer, outputs={"probabilities": answer.outputs["probabilities"][:, ::-1]})

    monkeypatch.setattr(iris_binary, "OnnxModel", Turned)
    assert failing(tmp_path) == [FIRST]


def test_web_single_serves_each_by_its_name(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_MODEL", "iris_binary_virginica")

    async def main() -> None:
        async with client(serve(web_single.build)) as http:
            answer = await http.post("/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]})
            assert answer.json() == {"prediction": ["other", "virginica"]}
            assert (await http.get("/label")).json() == {"0": "virginica", "1": "other"}
            assert (await http.get("/metadata")).json()["prediction_structure"] == "(1,2)"

    asyncio.run(main())
