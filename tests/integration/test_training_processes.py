"""Training in real processes: equal bytes, two at once, killed midway."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.training import MODELS
from mlpatterns.user_errors import UnknownName

pytestmark = [pytest.mark.integration, pytest.mark.heavy]  # several processes train at once

PROCESSES = 10 if os.environ.get("MLPATTERNS_CHAOS") else 3
TRAIN = """
import pathlib, sys
from mlpatterns.training import run
result = run("iris_sklearn_svc", home=pathlib.Path(sys.argv[1]))
print(result.sha256, result.version)
"""
TRAIN_ALL = """
import pathlib, sys
from mlpatterns.training import MODELS, run
print(*(run(name, home=pathlib.Path(sys.argv[1])).sha256 for name in MODELS))
"""
# Stops where the folder is in its place and the rows are written, but nothing is committed.
TRAIN_UNTIL_COMMIT = """
import sys, time
from sqlalchemy.orm import Session
def commit(session):
    print("at the commit", flush=True)
    time.sleep(600)
Session.commit = commit
"""


@contextmanager
def training(code: str, home: Path, seed: str = "0") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    sha256, version = out.split()
    return sha256, int(version)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_of_every_model_in_every_process(tmp_path: Path) -> None:
    def digests(seed: int) -> tuple[str, ...]:
        with training(TRAIN_ALL, tmp_path / str(seed), seed=str(seed)) as process:
            out, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
            return tuple(out.split())

    with ThreadPoolExecutor(2) as pool:
        (found,) = set(pool.map(digests, range(PROCESSES)))
    assert len(set(found)) == len(MODELS)


@pytest.mark.slow
def test_two_trainings_at_once_make_the_tables_once_and_get_a_version_each(tmp_path: Path) -> None:
    with training(TRAIN, tmp_path) as first, training(TRAIN, tmp_path) as second:
        versions = {finish(first)[1], finish(second)[1]}
    assert versions == {1, 2}
    assert locate("iris_sklearn_svc", Settings(home=tmp_path)).version == "1"


@pytest.mark.slow
def test_a_training_that_is_killed_before_its_commit_leaves_nothing_visible(tmp_path: Path) -> None:
    with training(TRAIN_UNTIL_COMMIT + TRAIN, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at the commit\n"
    assert len(list((tmp_path / "artifacts" / "iris_sklearn_svc").iterdir())) == 1
    with pytest.raises(UnknownName, match="there is no model 'iris_sklearn_svc'"):
        locate("iris_sklearn_svc", Settings(home=tmp_path))
    with training(TRAIN, tmp_path) as process:
        assert finish(process)[1] == 1
    assert locate("iris_sklearn_svc", Settings(home=tmp_path)).version == "1"
