"""Caches.

What was answered or prepared, kept for who asks again.
"""

from __future__ import annotations

from mlpatterns import DataCache, GoldenRows, OnnxModel, Pipeline, PredictionCache
from mlpatterns.testing import CountingModel, client

NAMES = ("PredictionCache", "DataCache")


async def prediction_cache_example() -> None:
    model = CountingModel()
    async with client(PredictionCache(model, store="memory://", ttl=60)) as http:
        answers = [await http.post("/predict", json={"data": [[1, 2]]}) for _ in range(2)]
    assert [answer.headers["x-mlp-cache"] for answer in answers] == ["miss", "hit"]
    assert model.calls == 1


async def data_cache_example() -> None:
    rows = DataCache(GoldenRows("iris_sklearn_svc"), store="sqlite:///rows.db")
    async with client(Pipeline(rows, OnnxModel("iris_sklearn_svc"))) as http:
        answers = [await http.post("/predict", json={"data": "0003"}) for _ in range(2)]
    assert [answer.headers["x-mlp-data-cache"] for answer in answers] == ["miss", "hit"]
