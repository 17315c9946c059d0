"""iris_sklearn_rf: its demo holds, and each claim fails for a training that does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns import serve, train
from mlpatterns.cli import main
from mlpatterns.patterns.serving import web_single
from mlpatterns.patterns.training import iris_sklearn_rf
from mlpatterns.testing import client
from mlpatterns.training import TrainingResult

Change = Callable[[TrainingResult], TrainingResult]


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "iris_sklearn_rf"]) == 0
    assert capsys.readouterr().out.endswith("iris_sklearn_rf: all 5 claims hold\n")


@pytest.mark.parametrize(
    ("claim", "change"),
    [
        ("byte for byte", lambda result: replace(result, sha256=f"{result.version:064d}")),
        ("probabilities", lambda result: replace(result, parity=replace(result.parity, max_difference=0.01))),
        ("classed otherwise", lambda result: replace(result, parity=replace(result.parity, other_labels=1))),
        ("not trained on", lambda result: replace(result, metrics={**result.metrics, "accuracy": 0.5})),
    ],
)
def test_each_claim_fails_where_a_training_does_not_keep_it(
    claim: str, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iris_sklearn_rf, "train", lambda *a, **k: change(train(*a, **k)))
    failed = [row.claim for row in iris_sklearn_rf.demo(tmp_path).rows if not row.holds]
    assert len(failed) == 1
    assert claim in failed[0]


def test_a_training_that_does_not_promote_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpromoted(*arguments: Any, **options: Any) -> TrainingResult:
        return train(*arguments, **{**options, "promote": False})

    monkeypatch.setattr(iris_sklearn_rf, "train", unpromoted)
    assert [row.claim for row in iris_sklearn_rf.demo(tmp_path).rows if not row.holds] == [
        "the newest version is the one that serves"
    ]


def test_web_single_serves_it_with_labels(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_MODEL", "iris_sklearn_rf")

    async def main() -> None:
        async with client(serve(web_single.build)) as http:
            answer = await http.post("/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]})
            assert answer.json() == {"prediction": ["setosa", "virginica"]}
            (await http.get("/predict/test")).raise_for_status()
            assert (await http.get("/metadata")).json()["prediction_structure"] == "(1,3)"

    asyncio.run(main())
