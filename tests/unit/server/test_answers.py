"""What a pattern may change of the simple API's answers: shapes, paths, and that each is documented."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import (
    Answers,
    Context,
    FanOut,
    Health,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    PythonModel,
    Service,
    TensorSpec,
    Wrapper,
    nested_prediction,
    serve,
)
from mlpatterns.metadata import Array
from mlpatterns.settings import Settings
from mlpatterns.testing import client
from mlpatterns.user_errors import UserError

ROWS = {"data": [[1.0], [2.0]]}


def model() -> PythonModel:
    def predict(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        values = inputs["input"]
        return {"twice": np.concatenate([2 * values, -values], axis=1), "flag": values[:, 0] > 1}

    return PythonModel(
        lambda: None, predict, name="m", inputs=[TensorSpec("input", "FP32", (-1, 1))], labels=("a", "b"),
        outputs=[TensorSpec("twice", "FP32", (-1, 2)), TensorSpec("flag", "BOOL", (-1,))],
        sample={"input": np.ones((1, 1), np.float32)},
    )  # fmt: skip


def flagged(response: InferenceResponse, context: Context) -> Any:
    """Which rows are above one.

    This is more than the document says.
    """
    return {"above": response.outputs["flag"].tolist(), "outputs": sorted(response.outputs)}


def ask(app: Any, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async def main() -> tuple[int, Any]:
        async with client(app) as http:
            answer = await http.request(method, path, json=body)
            return answer.status_code, answer.json()

    return asyncio.run(main())


def test_a_function_of_the_patterns_gets_all_outputs_and_the_usual_answers_only_the_primary() -> None:
    shaped, usual = {"above": [False, True], "outputs": ["flag", "twice"]}, {"prediction": [[2.0, -1.0], [4.0, -2.0]]}
    app = serve(model, answers=Answers(predict=flagged))
    assert ask(app, "POST", "/predict", ROWS) == (200, shaped)
    assert ask(app, "POST", "/predict/label", ROWS) == (200, {"prediction": ["a", "a"]})
    app = serve(model, answers=Answers(label=flagged))
    assert ask(app, "POST", "/predict/label", ROWS) == (200, shaped)
    assert ask(app, "POST", "/predict", ROWS) == (200, usual)


def test_the_sample_is_answered_in_the_same_shape() -> None:
    app = serve(model, answers=Answers(label=flagged))
    assert ask(app, "GET", "/predict/test/label") == (200, {"above": [False], "outputs": ["flag", "twice"]})


def test_labels_of_its_own_need_no_names() -> None:
    nameless = PythonModel(
        lambda: None, lambda _, inputs: {"y": inputs["input"]}, name="m",
        inputs=[TensorSpec("input", "FP32", (-1, 1))], outputs=[TensorSpec("y", "FP32", (-1, 1))],
    )  # fmt: skip
    app = serve(lambda: nameless, answers=Answers(label=lambda response, _: {"rows": len(response.outputs["y"])}))
    assert ask(app, "POST", "/predict/label", ROWS) == (200, {"rows": 2})
    described = ask(app, "GET", "/openapi.json")[1]["paths"]["/predict/label"]["post"]["description"]
    assert "no labels" not in described


def test_an_alias_answers_as_the_path_it_stands_for_below_the_models_prefix_too() -> None:
    aliases = {"/predict/get/test": "/predict/test"}
    expected = ask(serve(model), "GET", "/predict/test")
    assert ask(serve(model, answers=Answers(aliases=aliases)), "GET", "/predict/get/test") == expected
    several = serve(lambda: {"one": model()}, answers=Answers(aliases=aliases))
    assert ask(several, "GET", "/models/one/predict/get/test") == expected
    paths = ask(several, "GET", "/openapi.json")[1]["paths"]
    operations = [paths[f"/models/one/predict{path}/test"]["get"] for path in ("", "/get")]
    assert operations[1]["description"] == f"The same as GET /models/one/predict/test. {operations[0]['description']}"
    assert operations[0]["operationId"] != operations[1]["operationId"]


@pytest.mark.parametrize("aliases", [{"/x": "/predicct"}, {"/label": "/predict"}])
def test_an_alias_of_nothing_or_in_the_place_of_another_path_is_refused(aliases: dict[str, str]) -> None:
    with pytest.raises(UserError, match="cannot be an alias of"):
        ask(serve(model, answers=Answers(aliases=aliases)), "GET", "/health")


def test_the_document_says_what_the_functions_say_and_promises_no_shape() -> None:
    document = ask(serve(model, answers=Answers(predict=flagged, label=flagged)), "GET", "/openapi.json")[1]
    for path in ("/predict", "/predict/label"):
        assert document["paths"][path]["post"]["description"] == "Which rows are above one."
    schemas = document["components"]["schemas"]
    assert (schemas["m.Prediction"], schemas["m.Label"]) == ({}, {})


def test_a_part_that_is_served_alone_has_the_usual_shapes() -> None:
    def build() -> FanOut:
        return FanOut({"part": Service("part", model())})

    answers = Answers(predict=flagged, aliases={"/x": "/predict/test"})
    app = serve(build, answers=answers, settings=Settings(service="part"))
    assert ask(app, "POST", "/predict", ROWS) == (200, {"prediction": [[2.0, -1.0], [4.0, -2.0]]})
    assert ask(app, "GET", "/x")[0] == 404


def test_a_function_is_told_who_asks_and_who_answered() -> None:
    def told(response: InferenceResponse, context: Context) -> Any:
        assert response.described is not None
        return [context.headers["x-request-id"], response.described.labels]

    async def main() -> Any:
        async with client(serve(model, answers=Answers(predict=told))) as http:
            return (await http.post("/predict", json=ROWS, headers={"x-request-id": "7"})).json()

    assert asyncio.run(main()) == ["7", ["a", "b"]]


def test_metadata_and_health_have_shapes_of_their_own_and_say_so() -> None:
    def about(metadata: ModelMetadata, context: Context) -> Any:
        """What it is called."""
        return {"called": metadata.name}

    def healthy(health: Health, context: Context) -> Any:
        """Well or not."""
        return {"m": "ok" if health.ready else "ng"}

    app = serve(model, answers=Answers(metadata=about, health=healthy))
    assert ask(app, "GET", "/metadata") == (200, {"called": "m"})
    assert ask(app, "GET", "/health") == (200, {"m": "ok"})
    paths = ask(app, "GET", "/openapi.json")[1]["paths"]
    said = [paths[path]["get"] for path in ("/metadata", "/health")]
    assert [each["description"] for each in said] == ["What it is called.", "Well or not."]
    assert [each["responses"]["200"]["content"]["application/json"]["schema"] for each in said] == [{}, {}]


def test_metadata_may_say_more_from_the_answer_for_the_sample() -> None:
    def more(response: InferenceResponse, context: Context) -> dict[str, Any]:
        """The usual, and which outputs there are."""
        return {"outputs": sorted(response.outputs), "purpose": context.purpose}

    usual = ask(serve(model), "GET", "/metadata")[1]
    app = serve(model, answers=Answers(sample=more))
    assert ask(app, "GET", "/metadata")[1] == {**usual, "outputs": ["flag", "twice"], "purpose": "probe"}
    said = ask(app, "GET", "/openapi.json")[1]["paths"]["/metadata"]["get"]["description"]
    assert said == "The usual, and which outputs there are."


class ByCaller(Wrapper):
    """Another model for each caller: what a rule would choose."""

    def describe(self, context: Context) -> ModelMetadata:
        return DESCRIBED[context.headers.get("x-request-id", "")]

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        described = self.describe(request.context)
        rows = next(iter(request.inputs.values()))
        assert list(request.inputs) == [described.inputs[0].name]
        return InferenceResponse({"y": rows}, "m", "1", described=described)


def described(name: str, datatype: str, labels: tuple[str, ...]) -> ModelMetadata:
    inputs, outputs = TensorSpec(name, datatype, (-1, 2)), TensorSpec("y", datatype, (-1, 2))
    return ModelMetadata("m", "1", "test", (inputs,), (outputs,), "y", labels)


DESCRIBED = {"": described("x", "FP32", ("a", "b")), "whole": described("n", "INT64", ("c", "d"))}


def test_rows_are_read_and_labelled_by_what_the_caller_meets() -> None:
    async def main() -> None:
        async with client(ByCaller(model())) as http:
            for _ in range(2):
                whole = {"x-request-id": "whole"}
                assert (await http.post("/predict", json={"data": [[1.5, 2]]})).json() == {"prediction": [1.5, 2]}
                refused = await http.post("/predict", json={"data": [[1.5, 2]]}, headers=whole)
                assert refused.json() == {"error": "data[0][0] must be an integer, not 1.5"}
                answer = await http.post("/predict/label", json={"data": [[1, 2]]}, headers=whole)
                assert answer.json() == {"prediction": "d"}
                assert (await http.get("/label")).json() == {"0": "a", "1": "b"}
                tensor = {"name": "n", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]}
                inferred = await http.post("/v2/models/m/infer", json={"inputs": [tensor]}, headers=whole)
                assert inferred.json()["outputs"][0]["data"] == [1, 2]

    asyncio.run(main())


def test_labels_are_those_of_who_answered() -> None:
    class Chosen(Wrapper):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            response = await self.inner.predict(request)
            return replace(response, described=DESCRIBED["whole"])

    assert ask(Chosen(model()), "POST", "/predict/label", ROWS) == (200, {"prediction": ["c", "c"]})


class Endless(Wrapper):
    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        response = await self.inner.predict(request)
        return replace(response, outputs={**response.outputs, "twice": response.outputs["twice"] * np.inf})


def test_a_nested_prediction_has_a_list_for_one_row_too_and_never_what_json_cannot_say() -> None:
    app = serve(model, answers=Answers(predict=nested_prediction))
    assert ask(app, "POST", "/predict", {"data": [[1.0]]}) == (200, {"prediction": [[2.0, -1.0]]})
    assert ask(app, "POST", "/predict", ROWS) == (200, {"prediction": [[2.0, -1.0], [4.0, -2.0]]})
    endless = Endless(model())
    assert ask(serve(lambda: endless, answers=Answers(predict=nested_prediction)), "POST", "/predict", ROWS)[0] == 500
    documented = ask(app, "GET", "/openapi.json")[1]["paths"]["/predict"]["post"]["description"]
    assert "in a list even for one row alone" in documented
