"""Serving.

What makes predictors an ASGI app, and a part of them a process of its own.
"""

from __future__ import annotations

from typing import Any

import httpx

from mlpatterns import (
    Answers,
    Context,
    InferenceResponse,
    Pipeline,
    Predictor,
    Service,
    Settings,
    nested_prediction,
    running,
    serve,
)
from mlpatterns.testing import CountingModel, client, request

NAMES = ("serve", "App", "Answers", "nested_prediction", "Service", "running")


async def serve_example() -> None:
    def build() -> dict[str, Predictor]:
        return {"iris": CountingModel(), "digits": CountingModel()}

    app = serve(build, settings=Settings(api_keys={"ann": "secret"}))
    async with client(app, headers={"authorization": "Bearer secret"}) as http:
        answer = await http.post("/models/iris/predict", json={"data": [[1, 2, 3]]})
    assert answer.json()["prediction"] == [6]


async def app_example() -> None:
    app = serve(CountingModel)
    async with app.running():  # as the app that it is mounted in does
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            assert (await http.get("/health/ready")).status_code == 200
        assert list(app.models) == ["counting"]


async def answers_example() -> None:
    def total(response: InferenceResponse, context: Context) -> dict[str, Any]:
        """`total` is the sum of the row."""
        return {"total": float(response.outputs["probabilities"][0, 0]), "id": context.prediction_id}

    answers = Answers(predict=total, aliases={"/sum": "/predict"})
    async with client(CountingModel(), answers=answers) as http:
        answer = await http.post("/sum", json={"data": [[1, 2, 3]]})
    assert answer.json()["total"] == 6


async def nested_prediction_example() -> None:
    async with client(CountingModel(), answers=Answers(predict=nested_prediction)) as http:
        answer = await http.post("/predict", json={"data": [[1, 2, 3]]})
    assert answer.json() == {"prediction": [[6]]}


async def service_example() -> None:
    def build() -> Predictor:  # elsewhere: MLPATTERNS_SERVICE_SECOND_URL=http://10.0.0.2:8000
        return Pipeline(CountingModel("first"), Service("second", CountingModel("inside")))

    async with client(build) as http:
        answer = await http.post("/predict", json={"data": [[1, 2, 3]]})
    assert answer.json()["prediction"] == [6]


async def running_example() -> None:
    model = CountingModel()
    async with running(model):
        response = await model.predict(request([[1, 2, 3]]))
    assert response.outputs["probabilities"].tolist() == [[6]]
    assert (model.starts, model.stops) == (1, 1)
