"""A version of a real MLflow registry becomes one of ours, and serves."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session

from extras import need
from integration.mlflow_server import PYTHON
from mlpatterns.context import Context
from mlpatterns.model_db.database import engine
from mlpatterns.model_db.mlflow_import import import_mlflow
from mlpatterns.model_db.tables import Experiment
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.predictor import InferenceRequest
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.user_errors import UserError

need("mlflow", "mlflow")

pytestmark = [pytest.mark.slow, pytest.mark.integration]

COLUMNS = ("one", "two", "three", "four")
# What a team with MLflow alone does: its own client and its own flavor write the model.
LOGS = """
import json, sys
import mlflow, numpy as np, onnx, pandas
from mlflow.models import infer_signature
from onnx import helper, numpy_helper

value = helper.make_tensor_value_info
def made():
    weights = numpy_helper.from_array(np.arange(4 * 300, dtype=np.float32).reshape(4, 300), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
                              [value("x", 1, ["n", 4])], [value("y", 1, ["n", 300])], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
mlflow.set_tracking_uri(sys.argv[1])
rows = pandas.DataFrame([[1.0, 2, 3, 4]], columns=["one", "two", "three", "four"]).astype("float32")
signature = infer_signature(rows)
runs = []
for name, external in (("outside", True), ("inside", False)):
    with mlflow.start_run() as run:
        mlflow.log_params({"depth": 3})
        mlflow.log_metrics({"accuracy": 0.75, "nothing": float("nan")})
        mlflow.onnx.log_model(made(), name="model", registered_model_name=name, signature=signature,
                              save_as_external_data=external)
        runs.append(run.info.run_id)
class Other(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]) -> list[str]:
        return model_input
with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Other(), registered_model_name="two words")
client = mlflow.MlflowClient()
for name in ("outside", "inside", "two words"):
    client.set_registered_model_alias(name, "best", 1)
print(json.dumps(runs))
"""


@pytest.fixture(scope="module")
def server(mlflow_uri: str) -> str:
    return mlflow_uri


@pytest.fixture(scope="module")
def logged(server: str) -> list[str]:
    """The runs that made `outside` and `inside`; `two words` has no ONNX model."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run([PYTHON, "-c", LOGS, server], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    runs: list[str] = json.loads(done.stdout.splitlines()[-1])
    return runs


@pytest.mark.parametrize(("number", "name"), [(0, "outside"), (1, "inside")])
def test_a_version_comes_with_its_columns_its_run_and_its_weights(
    server: str, logged: list[str], tmp_path: Path, number: int, name: str
) -> None:
    settings = Settings(home=tmp_path)
    made = import_mlflow(f"models:/{name}@best", server, settings=settings)
    assert (made.name, made.version, made.champion, made.new is not None) == (name, 1, True, True)
    asyncio.run(served(name, settings))
    experiment = the_experiment(settings)
    assert experiment.parameters is not None
    source = experiment.parameters.pop("mlflow_source")
    assert source.startswith(("models:/", "runs:/", "mlflow-artifacts:/"))
    assert experiment.parameters == {
        "depth": "3", "imported_from": f"models:/{name}/1", "mlflow_run_id": logged[number]
    }  # fmt: skip
    assert experiment.evaluations == {"accuracy": 0.75}


async def served(name: str, settings: Settings) -> None:
    """What was imported answers as what was logged, and knows its columns."""
    model, rows = OnnxModel(f"{name}:1"), np.ones((2, 4), dtype=np.float32)
    async with running(model, settings=settings):
        assert model.metadata.inputs[0].fields == COLUMNS
        answer = await model.predict(InferenceRequest({"x": rows}, Context("1", {})))
    np.testing.assert_array_equal(answer.outputs["y"], rows @ np.arange(4 * 300, dtype=np.float32).reshape(4, 300))


def the_experiment(settings: Settings) -> Experiment:
    made = engine(settings.registry_url)
    with Session(made) as session:
        found = session.query(Experiment).one()
        session.expunge(found)
    made.dispose()
    return found


def command(home: Path, *words: str, mlflow: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MLPATTERNS_HOME": str(home), "MLFLOW_TRACKING_URI": mlflow}
    return subprocess.run(
        [sys.executable, "-m", "mlpatterns", "registry", "import", *words],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_same_version_is_registered_once_unless_it_is_asked_for_again(
    server: str, logged: list[str], tmp_path: Path
) -> None:
    said = [
        command(tmp_path, "models:/inside@best", mlflow=server).stdout.splitlines()[0],
        command(tmp_path, "models:/inside/1", "--mlflow", server).stdout.splitlines()[0],
        command(tmp_path, "models:/inside/1", "--mlflow", server, "--again", "--no-promote").stdout.splitlines()[0],
    ]
    assert said == [
        "inside:1 (champion)",
        "models:/inside/1 is already registered as inside:1 (champion); --again registers it again",
        "inside:2 (registered; champion is inside:1; `mlpatterns registry alias inside:2 champion` releases it)",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("models:/inside@nobody",), "has no models:/inside@nobody: "),
        (("models:/nothing/1",), "has no models:/nothing/1: "),
        (("models:/two words/1",), "'two words' is not a valid model name here; give one with --name"),
        (("models:/two words/1", "--name", "two"), "the model has no ONNX flavor (it has: python_function); log it"),
        (("models:/inside/latest",), "is not a model of an MLflow registry; write models:/NAME@ALIAS or"),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_sentence(
    server: str, logged: list[str], tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    done = command(tmp_path, *words, mlflow=server)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_server_that_is_down_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the MLflow server at http://127\.0\.0\.1:9 cannot be used: .*refused"):
        import_mlflow("models:/inside/1", "http://127.0.0.1:9", settings=Settings(home=tmp_path))


def test_without_a_server_the_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"say which with --mlflow URI or MLFLOW_TRACKING_URI$"):
        import_mlflow("models:/inside/1", None, settings=Settings(home=tmp_path))
