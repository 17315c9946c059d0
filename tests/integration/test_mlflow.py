"""A run on a real MLflow tracking server: the same parameters, metrics and artifacts as in the model DB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest

from extras import need
from integration.mlflow_server import ask, get
from mlpatterns.model_db.mlflow_server import MlflowError, MlflowServer
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.training import TrainingResult, run
from mlpatterns.training.tracking import tracked
from mlpatterns.user_errors import UserError

need("mlflow", "mlflow")

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture(scope="module")
def server(mlflow_uri: str) -> str:
    return mlflow_uri


def runs(url: str, experiment: str) -> list[dict[str, Any]]:
    found = get(url, "experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
    request = Request(  # a search is a POST
        f"{url}/api/2.0/mlflow/runs/search",
        json.dumps({"experiment_ids": [found]}).encode(),
        {"content-type": "application/json"},
    )
    with ask(request) as answer:
        listed: list[dict[str, Any]] = json.load(answer)["runs"]
        return listed


def pairs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


def test_a_training_is_followed(server: str, tmp_path: Path) -> None:
    result = run("iris_sklearn_svc", home=tmp_path, options={"seed": 3}, mlflow=server)
    (found,) = runs(server, "iris_sklearn_svc")
    parameters, metrics, tags = (pairs(found["data"][what]) for what in ("params", "metrics", "tags"))
    assert found["info"]["status"] == "FINISHED"
    assert (parameters["seed"], parameters["test_size"]) == ("3", "0.3")
    assert parameters["dataset_sha256"] == result.dataset_sha256
    assert {name: metrics[name] for name in ("accuracy", "f1")} == {
        name: pytest.approx(result.metrics[name]) for name in ("accuracy", "f1")
    }
    assert (tags["model"], tags["sha256"]) == ("iris_sklearn_svc:1", result.sha256)
    assert artifacts(server, found) == {path.name: path.stat().st_size for path in result.folder.iterdir()}


def artifacts(server: str, found: dict[str, Any]) -> dict[str, int]:
    listed = get(server, "artifacts/list", run_id=found["info"]["run_id"])["files"]
    return {entry["path"]: int(entry["file_size"]) for entry in listed}


def test_the_command_follows_too_and_a_training_that_fails_is_marked_so(server: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlpatterns", "train", "iris_sklearn_rf", "--mlflow", server]
    environment = {**os.environ, "MLPATTERNS_HOME": str(tmp_path / "home")}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError):
        run("iris_sklearn_rf", home=tmp_path / "file", mlflow=server)
    assert sorted(one["info"]["status"] for one in runs(server, "iris_sklearn_rf")) == ["FAILED", "FINISHED"]


def test_each_epoch_of_a_pipeline_is_a_step(server: str, tmp_path: Path) -> None:
    need("torch", "torch")
    options = {"synthetic": True, "images": 60, "test_images": 20, "batch_size": 20, "width": 4, "threads": 1,
               "epochs": 3}  # fmt: skip
    result: TrainingResult = run("cifar10", home=tmp_path, options=options, mlflow=server)
    (found,) = runs(server, "cifar10")
    history = get(server, "metrics/get-history", run_id=found["info"]["run_id"], metric_key="epoch.train_loss")
    told = {int(entry.get("step", 0)): entry["value"] for entry in history["metrics"]}
    assert told == {row["epoch"]: pytest.approx(row["train_loss"]) for row in result.metrics["epochs"]}
    metrics, parameters = (pairs(found["data"][what]) for what in ("metrics", "params"))
    assert metrics["served_p50_ms"] == pytest.approx(result.metrics["served_p50_ms"])
    assert (parameters["model_type"], parameters["epochs"]) == ("resnet", "3")
    assert {"model.onnx", "int8.onnx"} < set(artifacts(server, found))


def test_a_server_that_is_down_is_known_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the MLflow server at http://127\.0\.0\.1:9 cannot be used: .*refused"):
        run("iris_sklearn_svc", home=tmp_path, mlflow="http://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_goes_down_meanwhile_does_not_undo_what_is_registered(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(server: MlflowServer, *_: Any) -> None:
        raise MlflowError(f"{server.before}the MLflow server at {server.uri} is gone", "it is gone")

    monkeypatch.setattr(MlflowServer, "log_parameter", gone)
    with pytest.raises(UserError, match=r"^iris_sklearn_svc:1 is registered, but the MLflow server at .* is gone$"):
        run("iris_sklearn_svc", home=tmp_path, mlflow=server)
    assert locate("iris_sklearn_svc", Settings(home=tmp_path)).version == "1"


def test_the_environment_is_left_as_it_was(server: str, tmp_path: Path) -> None:
    before = dict(os.environ)
    with tracked(server, "environment"):
        assert dict(os.environ) == before
    assert dict(os.environ) == before
