"""Comparing models.

Which of two is better: on the same requests, or by what users do.
"""

from __future__ import annotations

from mlpatterns import Experiment, Metric, PredictionLog, Shadow, Split
from mlpatterns.testing import CountingModel, client, logged, until

NAMES = ("Split", "Experiment", "Metric", "Shadow", "PredictionLog")


async def split_example() -> None:
    split = Split({"a": CountingModel("a"), "b": CountingModel("b")}, weights={"a": 60, "b": 40}, sticky_by="user-id")
    async with client(split, headers={"user-id": "ann"}) as http:
        answers = [await http.post("/predict", json={"data": [[1, 2]]}) for _ in range(3)]
    assert len({answer.headers["x-mlp-arm"] for answer in answers}) == 1


async def experiment_example() -> None:
    split = Split({"a": CountingModel("a"), "b": CountingModel("b")}, sticky_by="user-id")
    experiment = Experiment(PredictionLog(split), Metric("converted"))
    async with client(experiment, headers={"user-id": "ann"}) as http:
        answer = await http.post("/predict", json={"data": [[1, 2]]})
        told = {"prediction_id": answer.headers["x-mlp-prediction-id"], "name": "converted", "value": True}
        await http.post("/feedback", json=told)
        found = (await http.get("/experiment")).json()
    assert found


def metric_example() -> None:
    revenue = Metric("revenue", per_user="sum", window=7 * 86_400)
    clicks_a_request = Metric("clicks", per_user="sum", per="requests")
    assert revenue.better == clicks_a_request.better == "higher"


async def shadow_example() -> None:
    shadow = Shadow(CountingModel("now"), CountingModel("next"), sink="sqlite:///log.db")
    async with client(shadow) as http:

        async def compared() -> int:
            await http.post("/predict", json={"data": [[1, 2]]})
            return int((await http.get("/shadow")).json()["compared"])

        assert await until(compared)


async def prediction_log_example() -> None:
    async with client(PredictionLog(CountingModel(fields=["a", "b"]), sink="sqlite:///log.db", redact=["b"])) as http:
        answer = await http.post("/predict", json={"data": [[1, 2]]})
    (record,) = await logged("sqlite:///log.db")
    assert record.prediction_id == answer.headers["x-mlp-prediction-id"]
    assert record.inputs == {"input": [[1, None]]}
