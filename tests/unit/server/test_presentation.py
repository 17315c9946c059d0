"""What a pattern may change of the simple API: shapes, paths, and that each is documented."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mlpatterns import FanOut, InferenceResponse, PythonModel, Service, TensorSpec, serve
from mlpatterns.errors import UserError
from mlpatterns.metadata import Array
from mlpatterns.settings import Settings
from mlpatterns.testing import client

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


def flagged(response: InferenceResponse) -> Any:
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
    app = serve(model, present=flagged)
    assert ask(app, "POST", "/predict", ROWS) == (200, shaped)
    assert ask(app, "POST", "/predict/label", ROWS) == (200, {"prediction": ["a", "a"]})
    app = serve(model, present_label=flagged)
    assert ask(app, "POST", "/predict/label", ROWS) == (200, shaped)
    assert ask(app, "POST", "/predict", ROWS) == (200, usual)


def test_the_sample_is_answered_in_the_same_shape() -> None:
    app = serve(model, present_label=flagged)
    assert ask(app, "GET", "/predict/test/label") == (200, {"above": [False], "outputs": ["flag", "twice"]})


def test_labels_of_its_own_need_no_names() -> None:
    nameless = PythonModel(
        lambda: None, lambda _, inputs: {"y": inputs["input"]}, name="m",
        inputs=[TensorSpec("input", "FP32", (-1, 1))], outputs=[TensorSpec("y", "FP32", (-1, 1))],
    )  # fmt: skip
    app = serve(lambda: nameless, present_label=lambda response: {"rows": len(response.outputs["y"])})
    assert ask(app, "POST", "/predict/label", ROWS) == (200, {"rows": 2})
    described = ask(app, "GET", "/openapi.json")[1]["paths"]["/predict/label"]["post"]["description"]
    assert "no labels" not in described


def test_an_alias_answers_as_the_path_it_stands_for_below_the_models_prefix_too() -> None:
    aliases = {"/predict/get/test": "/predict/test"}
    expected = ask(serve(model), "GET", "/predict/test")
    assert ask(serve(model, aliases=aliases), "GET", "/predict/get/test") == expected
    several = serve(lambda: {"one": model()}, aliases=aliases)
    assert ask(several, "GET", "/models/one/predict/get/test") == expected
    paths = ask(several, "GET", "/openapi.json")[1]["paths"]
    operations = [paths[f"/models/one/predict{path}/test"]["get"] for path in ("", "/get")]
    assert operations[1]["description"] == f"The same as GET /models/one/predict/test. {operations[0]['description']}"
    assert operations[0]["operationId"] != operations[1]["operationId"]


@pytest.mark.parametrize("aliases", [{"/x": "/predicct"}, {"/label": "/predict"}])
def test_an_alias_of_nothing_or_in_the_place_of_another_path_is_refused(aliases: dict[str, str]) -> None:
    with pytest.raises(UserError, match="cannot be an alias of"):
        ask(serve(model, aliases=aliases), "GET", "/health")


def test_the_document_says_what_the_functions_say_and_promises_no_shape() -> None:
    document = ask(serve(model, present=flagged, present_label=flagged), "GET", "/openapi.json")[1]
    for path in ("/predict", "/predict/label"):
        assert document["paths"][path]["post"]["description"] == "Which rows are above one."
    schemas = document["components"]["schemas"]
    assert (schemas["m.Prediction"], schemas["m.Label"]) == ({}, {})


def test_a_part_that_is_served_alone_has_the_usual_shapes() -> None:
    def build() -> FanOut:
        return FanOut({"part": Service("part", model())})

    app = serve(build, present=flagged, aliases={"/x": "/predict/test"}, settings=Settings(service="part"))
    assert ask(app, "POST", "/predict", ROWS) == (200, {"prediction": [[2.0, -1.0], [4.0, -2.0]]})
    assert ask(app, "GET", "/x")[0] == 404
