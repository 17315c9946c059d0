"""iris_sklearn_svc: its demo holds, and each claim fails for a training that does not keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns import train
from mlpatterns.cli import main
from mlpatterns.patterns.training import iris_sklearn_svc
from mlpatterns.training import TrainingResult

Change = Callable[[TrainingResult], TrainingResult]


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["demo", "iris_sklearn_svc"]) == 0
    assert capsys.readouterr().out.endswith("iris_sklearn_svc: all 4 claims hold\n")


def test_the_demo_leaves_the_models_of_home_alone(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    before = sorted(trained_home.rglob("*"))
    assert main(["demo", "iris_sklearn_svc"]) == 0
    assert sorted(trained_home.rglob("*")) == before


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
    monkeypatch.setattr(iris_sklearn_svc, "train", lambda *a, **k: change(train(*a, **k)))
    failed = [row.claim for row in iris_sklearn_svc.demo(tmp_path).rows if not row.holds]
    assert len(failed) == 1
    assert claim in failed[0]


def test_a_training_that_does_not_promote_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpromoted(*arguments: Any, **options: Any) -> TrainingResult:
        return train(*arguments, **{**options, "promote": False})

    monkeypatch.setattr(iris_sklearn_svc, "train", unpromoted)
    assert [row.claim for row in iris_sklearn_svc.demo(tmp_path).rows if not row.holds] == [
        "the newest version is the one that serves"
    ]
