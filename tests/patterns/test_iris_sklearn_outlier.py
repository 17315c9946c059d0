"""iris_sklearn_outlier: its demo holds, and each claim fails for a training or a model that does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import InferenceRequest, InferenceResponse, OnnxModel, serve, train
from mlpatterns.cli import main
from mlpatterns.patterns.serving import web_single
from mlpatterns.patterns.training import iris_sklearn_outlier
from mlpatterns.testing import client
from mlpatterns.training import TrainingResult

Change = Callable[[TrainingResult], TrainingResult]
SERVES = "the newest version serves, and flags by the score's sign"


def failing(home: Path) -> list[str]:
    return [row.claim for row in iris_sklearn_outlier.demo(home).rows if not row.holds]


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "iris_sklearn_outlier"]) == 0
    assert capsys.readouterr().out.endswith("iris_sklearn_outlier: all 5 claims hold\n")


def measured(name: str, value: float) -> Change:
    return lambda result: replace(result, metrics={**result.metrics, f"outlier_rate_{name}": value})


@pytest.mark.parametrize(
    ("claim", "change"),
    [
        ("byte for byte", lambda result: replace(result, sha256=f"{result.version:064d}")),
        ("as scikit-learn does", lambda result: replace(result, parity=replace(result.parity, max_difference=0.01))),
        ("as scikit-learn does", lambda result: replace(result, parity=replace(result.parity, other_labels=1))),
        ("not trained on", measured("test", 0.5)),
        ("made-up", measured("synthetic", 0.5)),
    ],
)
def test_each_claim_fails_where_a_training_does_not_keep_it(
    claim: str, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iris_sklearn_outlier, "train", lambda *a, **k: change(train(*a, **k)))
    failed = failing(tmp_path)
    assert len(failed) == 1
    assert claim in failed[0]


def test_a_training_that_does_not_promote_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpromoted(*arguments: Any, **options: Any) -> TrainingResult:
        return train(*arguments, **{**options, "promote": False})

    monkeypatch.setattr(iris_sklearn_outlier, "train", unpromoted)
    assert failing(tmp_path) == [SERVES]


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: {**outputs, "outlier": ~outputs["outlier"]},
        lambda outputs: {**outputs, "score": -outputs["score"]},
        lambda outputs: {**outputs, "outlier": np.zeros_like(outputs["outlier"])},
    ],
    ids=["the flag turned", "the score turned", "nothing is an outlier"],
)
def test_a_model_whose_flag_is_not_the_sign_of_its_score_fails(
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changed(OnnxModel):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            answer = await super().predict(request)
            return replace(answer, outputs=change(answer.outputs))

    monkeypatch.setattr(iris_sklearn_outlier, "OnnxModel", Changed)
    assert failing(tmp_path) == [SERVES]


def test_web_single_serves_it_with_scores_and_labels(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_MODEL", "iris_sklearn_outlier")
    usual, unusual = [6.0, 2.9, 4.5, 1.5], [60, 29, 45, 15]

    async def main() -> None:
        async with client(serve(web_single.build)) as http:
            (one,), both = [(await http.post("/predict", json={"data": rows})).json()["prediction"]
                            for rows in ([usual], [usual, unusual])]  # fmt: skip
            assert one > 0
            assert both[0] == pytest.approx([one])
            assert both[1][0] < 0
            labels = [
                (await http.post("/predict/label", json={"data": rows})).json()
                for rows in ([unusual], [usual, unusual])
            ]
            assert labels == [{"prediction": "outlier"}, {"prediction": ["inlier", "outlier"]}]
            assert (await http.get("/label")).json() == {"0": "outlier", "1": "inlier"}
            assert (await http.get("/predict/test/label")).json() == {"prediction": "inlier"}
            described = (await http.get("/metadata")).json()
            assert (described["prediction_type"], described["prediction_structure"]) == ("float32", "(1,1)")

    asyncio.run(main())
