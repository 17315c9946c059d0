"""Machines that share a registry and an S3, and nothing else: some train, others serve."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.processes import serving
from mlpatterns.model_db.database import engine
from mlpatterns.model_db.sweeping import sweep
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.stores import open_objects
from mlpatterns.user_errors import UnknownName
from s3_server import SECRET
from services import database

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}
PATIENCE = 120.0  # seconds for a training
# Stops before the object of that name is put.
PUBLISH_UNTIL = """
import pathlib, sys, time
from mlpatterns.model_db.register import Registration, register
from mlpatterns.settings import Settings
from mlpatterns.stores.objects_s3 import S3Objects
url, artifacts, home, name = sys.argv[1:]
create = S3Objects.create
def stopping(self, key, content):
    if key.endswith(name):
        print("at it", flush=True)
        time.sleep(600)
    create(self, key, content)
S3Objects.create = stopping
register(Registration("shapes", {"model.onnx": b"graph", "metadata.json": b"{}"}),
         Settings(home=pathlib.Path(home), registry=url, artifacts=artifacts))
"""


@contextmanager
def started(command: list[str], cwd: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *command], cwd=cwd, env={**os.environ, **environ}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def artifacts(s3_bucket: str) -> str:
    return f"{s3_bucket}/models"


@pytest.mark.heavy  # two trainings, and servers
def test_what_two_trainers_register_another_serves_until_the_files_are_not_what_was_registered(
    registry: str, artifacts: str, tmp_path: Path
) -> None:
    shared = {"MLPATTERNS_REGISTRY": registry, "MLPATTERNS_ARTIFACTS": artifacts}
    command = ["-m", "mlpatterns", "train", "iris_sklearn_svc"]
    with (
        started(command, tmp_path, **shared, MLPATTERNS_HOME="one") as one,
        started(command, tmp_path, **shared, MLPATTERNS_HOME="other") as other,
    ):
        said = [process.communicate(timeout=PATIENCE) for process in (one, other)]
    assert {out.split()[0] for out, _ in said} == {"iris_sklearn_svc:1", "iris_sklearn_svc:2"}, said
    assert not list(tmp_path.glob("*/artifacts"))

    with serving("web_single", cwd=tmp_path, environ={**shared, "MLPATTERNS_HOME": "server"}) as server:
        status, answer = server.ask("/predict", ROW)
        assert (status, len(answer["prediction"])) == (200, 3)
    assert SECRET not in server.output

    store = open_objects(artifacts)
    models = [one.key for one in store.listed("iris_sklearn_svc") if one.key.endswith("/model.onnx")]
    assert len(models) == 2
    for model in models:
        content = store.read(model, 1 << 30)
        store.delete(model)
        store.create(model, content[:-1] + bytes([content[-1] ^ 1]))
    run = ["-m", "mlpatterns", "run", "web_single", "--port", "0"]
    with started(run, tmp_path, **shared, MLPATTERNS_HOME="late") as refused:
        error = refused.communicate(timeout=PATIENCE)[1]
    assert refused.returncode == 1
    assert "iris_sklearn_svc:1: model.onnx does not match its SHA-256" in error
    assert "Traceback" not in error
    assert [path for path in (tmp_path / "late").rglob("*") if path.is_file() and "artifacts" in path.parts] == []


@pytest.mark.parametrize(("name", "left"), [("metadata.json", 1), ("manifest.json", 2)])
def test_a_publisher_that_is_killed_leaves_nothing_visible_and_what_it_left_is_swept(
    registry: str, artifacts: str, tmp_path: Path, name: str, left: int
) -> None:
    command = ["-c", PUBLISH_UNTIL, registry, artifacts, str(tmp_path), name]
    with started(command, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at it\n"
    store = open_objects(artifacts)
    assert len(store.listed()) == left
    with pytest.raises(UnknownName, match="there is no model 'shapes'"):
        locate("shapes", Settings(home=tmp_path, registry=registry, artifacts=artifacts))
    made = engine(registry)
    assert len(sweep(made, artifacts, older=-60)) == 1
    made.dispose()
    assert store.listed() == []
