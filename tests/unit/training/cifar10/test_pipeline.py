"""The pipeline: a change makes anew what depends on it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extras import need
from mlpatterns.training import Progress, StepOutput, run_step

need("torch", "torch")

SMALL: dict[str, Any] = {"synthetic": True, "images": 40, "test_images": 20, "batch_size": 20, "width": 4, "threads": 1,
                         "model_type": "simple", "epochs": 1}  # fmt: skip


def step(home: Path, name: str = "train", **changes: Any) -> StepOutput:
    return run_step("cifar10", name, home=home, options={**SMALL, **changes})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    step(home, "build")
    return home


@pytest.mark.parametrize("change", [{"learning_rate": 0.01}, {"epochs": 2}, {"width": 5}, {"batch_size": 10}])
def test_another_way_to_train_trains_anew_from_the_same_images(change: dict[str, Any], home: Path) -> None:
    assert step(home, "preprocess", **change).cached
    assert step(home).cached
    changed = step(home, **change)
    assert not changed.cached
    assert changed.digest != step(home).digest


def test_other_images_change_all(home: Path) -> None:
    assert not step(home, "preprocess", images=50).cached
    assert step(home, images=50).digest != step(home).digest


def test_another_home_comes_to_the_same(home: Path, tmp_path: Path) -> None:
    for name in ("preprocess", "build"):
        assert step(tmp_path, name).digest == step(home, name).digest


@pytest.mark.parametrize("change", [{"num_workers": 0}, {"epochs": "1"}])
def test_what_decides_nothing_changes_nothing(change: dict[str, Any], home: Path) -> None:
    assert step(home, "build", **change).cached


def test_a_file_that_was_damaged_is_made_anew_with_what_depends_on_it_unchanged(home: Path) -> None:
    trained = step(home)
    (trained.folder / "weights.npz").write_bytes(b"damaged")
    again = step(home)
    assert (again.cached, again.digest) == (False, trained.digest)
    assert step(home, "build").cached


def test_other_code_makes_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpatterns.training.cifar10.pipeline._code", lambda: "other")
    assert not step(home, "preprocess").cached


def test_the_reports_come_in_the_order_of_the_steps(home: Path) -> None:
    reports: list[Progress] = []
    run_step("cifar10", "build", home=home, options=SMALL, report=reports.append)
    assert [report.step for report in reports] == ["preprocess", "train", "build", "done"]
