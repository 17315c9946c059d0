"""`mlpatterns train cifar10 --step …`: one step, found the second time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlpatterns.cli import main
from mlpatterns.training.cifar10 import pipeline

DRAW = ("--synthetic", "--images", "20", "--test-images", "10")


def test_a_step_runs_alone_and_is_found_the_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "cifar10", "--step", "preprocess", *DRAW]
    assert main(command) == 0
    first = capsys.readouterr()
    assert main(command) == 0
    second = capsys.readouterr()
    assert first.out.startswith("preprocess ran in ")
    assert second.out.startswith("preprocess was done already\n")
    digests = [re.findall(r"digest +([0-9a-f]{64})", told.out) for told in (first, second)]
    assert digests[0] == digests[1] != []
    assert first.err == "[1/5] preprocess\n"
    folder = re.findall(r"files +(.+)", first.out)[0]
    assert (Path(folder) / "train_images.npy").is_file()


def test_without_torch_the_extra_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "find_spec", lambda _: None)
    assert main(["train", "cifar10", "--step", "train", *DRAW]) == 1
    assert capsys.readouterr().err.endswith("training on images needs an extra: pip install 'mlpatterns[torch]'\n")


def test_one_step_alone_is_not_followed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cifar10", "--step", "preprocess", *DRAW, "--mlflow", "http://127.0.0.1:9"]) == 2
    assert capsys.readouterr().err == "mlpatterns: --mlflow tracks whole runs; leave out --step\n"


def test_a_training_that_has_no_steps_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris_sklearn_svc", "--step", "train"]) == 2
    assert capsys.readouterr().err == (
        "mlpatterns: there is no pipeline 'iris_sklearn_svc'; there is cifar10; leave out --step for other trainings\n"
    )
