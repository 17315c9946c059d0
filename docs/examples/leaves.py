"""Leaves.

What makes a model a predictor.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

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
from mlpatterns.testing import CountingModel, client, process, request

NAMES = ("OnnxModel", "PythonModel", "RemoteModel", "HotSwap", "ConstantModel", "chosen_model", "export", "Exported")


async def onnx_model_example() -> None:
    model = OnnxModel("file:iris.onnx", labels=["setosa", "versicolor", "virginica"])
    async with client(model) as http:
        answer = await http.post("/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
    assert max(answer.json()["prediction"].items(), key=lambda each: each[1])[0] == "setosa"


async def python_model_example() -> None:
    def predict(inputs, parameters):
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
    async with process("iris.onnx") as server, running(RemoteModel(server.url, "iris")) as app:
        response = await app.roots[0].predict(request({"input": [[5.1, 3.5, 1.4, 0.2]]}))
    assert response.outputs["probabilities"].argmax() == 0


async def hot_swap_example() -> None:
    model = HotSwap("iris_sklearn_svc@champion", check_every=1)
    async with client(model, settings=Settings(admin_token="secret")) as http:
        pinned = await http.post("/swap", json={"version": 1}, headers={"authorization": "Bearer secret"})
    assert pinned.json()["version"] == "1"


async def constant_model_example() -> None:
    model = CountingModel(labels=["sum"])
    constant = ConstantModel(model, {"probabilities": [0.5]})
    async with running(model, constant):
        response = await constant.predict(request([[1, 2], [3, 4]]))
    assert response.outputs["probabilities"].tolist() == [[0.5], [0.5]]


async def chosen_model_example() -> None:
    def build():
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
    assert made.path.exists()
    assert made.metadata.labels == ("setosa", "versicolor", "virginica")
