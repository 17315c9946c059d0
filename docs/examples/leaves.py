"""Leaves.

What makes a model a predictor.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlpatterns import (
    ConstantModel,
    HotSwap,
    OnnxModel,
    PythonModel,
    RemoteModel,
    Settings,
    TensorSpec,
    chosen_model,
    export,
    running,
    serve,
)
from mlpatterns.testing import Array, CountingModel, client, free_port, request

NAMES = ("OnnxModel", "PythonModel", "RemoteModel", "HotSwap", "ConstantModel", "chosen_model", "export", "Exported")


async def onnx_model_example() -> None:
    model = OnnxModel("file:iris.onnx", labels=["setosa", "versicolor", "virginica"])
    async with client(model) as http:
        answer = await http.post("/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
    assert answer.json()["prediction"] == "setosa"


async def python_model_example() -> None:
    def predict(inputs: Mapping[str, Array], parameters: Mapping[str, Any]) -> Mapping[str, Array]:
        return {"y": inputs["x"] * parameters.get("factor", 2)}

    model = PythonModel(
        predict=predict,
        inputs=[TensorSpec("x", "float32", (None, 3))],
        outputs=[TensorSpec("y", "float32", (None, 3))],
        sample={"x": [[1, 2, 3]]},
    )
    async with client(model) as http:
        answer = await http.post("/predict", json={"data": [[1, 2, 3]]})
    assert answer.json()["prediction"] == [2, 4, 6]


async def remote_model_example() -> None:
    port = free_port()
    remote = RemoteModel(f"http://127.0.0.1:{port}", "counting", timeout=5)
    async with running(remote):  # nobody listens there yet, and it starts all the same
        server = uvicorn.Server(uvicorn.Config(serve(CountingModel), port=port, log_level="error"))
        serving = asyncio.create_task(server.serve())
        while not remote.health().ready:
            await asyncio.sleep(0.01)
        response = await remote.predict(request([[1, 2, 3]]))
        server.should_exit = True
        await serving
    assert response.outputs["probabilities"].tolist() == [[6]]


async def hot_swap_example() -> None:
    model = HotSwap("iris_sklearn_svc@champion", check_every=1)
    async with client(model, settings=Settings(admin_token="secret")) as http:
        pinned = await http.post("/swap", json={"version": 1}, headers={"authorization": "Bearer secret"})
    assert pinned.json()["pinned"] == 1


async def constant_model_example() -> None:
    model = CountingModel(labels=["sum"])
    constant = ConstantModel(model, {"probabilities": [0.5]})
    async with running(model, constant):
        response = await constant.predict(request([[1, 2], [3, 4]]))
    assert response.outputs["probabilities"].tolist() == [[0.5], [0.5]]


async def chosen_model_example() -> None:
    def build() -> OnnxModel:
        return chosen_model("iris_sklearn_svc")  # another one with `mlpatterns run FILE.py --model OTHER`

    app = serve(build, settings=Settings(model="file:iris.onnx"))
    async with client(app) as http:
        assert (await http.get("/metadata")).status_code == 200


def export_example() -> None:
    irises = load_iris()
    model = LogisticRegression(max_iter=1000).fit(irises.data, irises.target)
    made = export(
        model, "iris.onnx", irises.data.astype(np.float32), labels=irises.target_names, columns=irises.feature_names
    )
    assert made.path == Path("iris.onnx")
    assert made.metadata.labels == ("setosa", "versicolor", "virginica")


def exported_example() -> None:
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    made = export(LinearRegression().fit(rows, rows.sum(axis=1)), "sum.onnx", rows)
    assert made.sha256 == hashlib.sha256(Path("sum.onnx").read_bytes()).hexdigest()
    assert made.metadata.inputs[0].shape == (-1, 2)
