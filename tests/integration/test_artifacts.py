"""Two machines that share a registry and an S3, and nothing else: one trains, the other serves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.processes import serving
from mlpatterns.stores import open_objects
from s3_server import SECRET
from services import database

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}


def mlpatterns(environ: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlpatterns", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def shared(s3_bucket: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings that both have."""
    with database("postgresql", tmp_path) as url:
        yield {"MLPATTERNS_REGISTRY": url, "MLPATTERNS_ARTIFACTS": f"{s3_bucket}/models"}


def test_what_one_machine_trains_another_serves_until_its_files_are_not_what_was_registered(
    shared: dict[str, str], tmp_path: Path
) -> None:
    trained = mlpatterns({**shared, "MLPATTERNS_HOME": "trainer"}, tmp_path, "train", "iris_sklearn_svc")
    assert trained.returncode == 0, trained.stderr
    assert not (tmp_path / "trainer" / "artifacts").exists()
    with serving("web_single", cwd=tmp_path, environ={**shared, "MLPATTERNS_HOME": "server"}) as server:
        status, answer = server.ask("/predict", ROW)
        assert (status, len(answer["prediction"])) == (200, 3)
    assert SECRET not in server.output

    store = open_objects(shared["MLPATTERNS_ARTIFACTS"])
    (model,) = [one.key for one in store.listed("iris_sklearn_svc") if one.key.endswith("/model.onnx")]
    content = store.read(model, 1 << 30)
    store.delete(model)
    store.create(model, content[:-1] + bytes([content[-1] ^ 1]))
    refused = mlpatterns({**shared, "MLPATTERNS_HOME": "another"}, tmp_path, "run", "web_single", "--port", "0")
    assert refused.returncode == 1
    assert "iris_sklearn_svc:1: model.onnx does not match its SHA-256" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [path for path in (tmp_path / "another").rglob("*") if path.is_file() and "artifacts" in path.parts] == []
