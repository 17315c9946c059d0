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
    async with client(Experiment(PredictionLog(split), Metric("converted", partial=True))) as http:
        for number in range(20):
            answer = await http.post("/predict", json={"data": [[1, 2]]}, headers={"user-id": f"user-{number}"})
            told = {"prediction_id": answer.headers["x-mlp-prediction-id"], "name": "converted", "value": True}
            await http.post("/feedback", json=told)
        found = (await http.get("/experiment")).json()
    assert sum(found["users"].values()) == 20
    assert found["verdict"]["says"].startswith("too few users or events yet")


async def metric_example() -> None:
    revenue = Metric("revenue", per_user="sum", partial=True)
    split = Split({"a": CountingModel("a"), "b": CountingModel("b")}, sticky_by="user-id")
    async with client(Experiment(PredictionLog(split), revenue), headers={"user-id": "ann"}) as http:
        for euros in (3, 4):
            answer = await http.post("/predict", json={"data": [[1, 2]]})
            told = {"prediction_id": answer.headers["x-mlp-prediction-id"], "name": "revenue", "value": euros}
            await http.post("/feedback", json=told)
        (found,) = (await http.get("/experiment")).json()["verdict"]["metrics"]
    assert found["arms"][answer.headers["x-mlp-arm"]]["value"] == 7


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
