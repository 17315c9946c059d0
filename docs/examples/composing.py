"""Several models that answer together.

Pieces around several predictors, which are one to the outside.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlpatterns import (
    DataRule,
    FanOut,
    InferenceResponse,
    Pipeline,
    PythonModel,
    Route,
    Rule,
    TensorSpec,
    Thresholds,
    running,
)
from mlpatterns.testing import Array, CountingModel, client, request

NAMES = ("Pipeline", "FanOut", "Route", "Rule", "DataRule", "Thresholds")


async def pipeline_example() -> None:
    def scale(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"input": inputs["raw"] / 10}

    spec = TensorSpec("raw", "FP32", (-1, 2))
    scaling = PythonModel(predict=scale, inputs=[spec], outputs=[TensorSpec("input", "FP32", (-1, 2))], name="scaling")
    async with client(Pipeline(scaling, CountingModel())) as http:
        answer = await http.post("/predict", json={"data": [[10, 20]]})
    assert answer.json()["prediction"] == [3]


async def fan_out_example() -> None:
    def mean(answers: Mapping[str, InferenceResponse]) -> Mapping[str, Array]:
        return {"mean": np.mean([each.outputs["probabilities"] for each in answers.values()], axis=0)}

    parts = {"one": CountingModel("one"), "other": CountingModel("other")}
    both = FanOut(parts, combine=mean, outputs=[TensorSpec("mean", "FP32", (-1, 1))])
    async with running(both):
        response = await both.predict(request([[1, 2, 3]]))
    assert response.outputs["mean"].tolist() == [[6]]


async def route_example() -> None:
    parts = {"animals": CountingModel("animals"), "plants": CountingModel("plants")}
    route = Route(parts, rules=[Rule(to="plants", headers={"target": "mountain"})], default="animals")
    async with client(route) as http:
        answer = await http.post("/predict", json={"data": [[1, 2]]}, headers={"target": "mountain"})
    assert answer.headers["x-mlp-route"] == "plants"


async def rule_example() -> None:
    parts = {"day": CountingModel("day"), "night": CountingModel("night"), "vip": CountingModel("vip")}
    rules = [
        Rule(to="vip", when=lambda request: request.context.principal == "ann"),
        Rule(to="night", between=("22:00", "06:00"), timezone="Asia/Tokyo"),
    ]
    route = Route(parts, rules=rules, default="day")
    async with running(route):
        response = await route.predict(request([[1, 2]], principal="ann"))
    assert response.described is not None
    assert response.described.name == "vip"


async def data_rule_example() -> None:
    parts = {"small": CountingModel("small"), "large": CountingModel("large")}
    route = Route(parts, rules=[Rule(to="large", data=(DataRule(column=0, at_least=100),))], default="small")
    async with running(route):
        answers = [await route.predict(request([[first, 2]])) for first in (250, 3)]
    assert [answer.described and answer.described.name for answer in answers] == ["large", "small"]


async def thresholds_example() -> None:
    parts = {"setosa": CountingModel("setosa"), "virginica": CountingModel("virginica")}
    decided = Thresholds(parts, thresholds={"setosa": 0.5, "virginica": 0.7})
    async with running(decided):
        response = await decided.predict(request([[0.1, 0.2, 0.3]]))
    assert response.outputs["decisions"].tolist() == [[1, 0]]
