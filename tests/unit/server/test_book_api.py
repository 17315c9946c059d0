"""Golden answers: what a client of the book sends, and exactly what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import Predictor
from mlpatterns.server.answers import Answers
from mlpatterns.testing import client
from unit.server.doubles import image, iris

SETOSA, VIRGINICA = [5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]


def ask(predictor: Predictor, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async def main() -> tuple[int, Any]:
        async with client(predictor) as http:
            response = await http.request(method, path, json=body)
            return response.status_code, response.json()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("GET", "/health", None, {"health": "ok"}),
        (
            "GET",
            "/metadata",
            None,
            {
                "data_type": "float32",
                "data_structure": "(1,4)",
                "data_sample": [SETOSA],
                "prediction_type": "float32",
                "prediction_structure": "(1,3)",
                "prediction_sample": [0.75, 0.125, 0.125],
            },
        ),
        ("GET", "/label", None, {"0": "setosa", "1": "versicolor", "2": "virginica"}),
        ("GET", "/predict/test", None, {"prediction": [0.75, 0.125, 0.125]}),
        ("GET", "/predict/test/label", None, {"prediction": "setosa"}),
        ("POST", "/predict", {"data": [SETOSA]}, {"prediction": [0.75, 0.125, 0.125]}),
        ("POST", "/predict/label", {"data": [VIRGINICA]}, {"prediction": "virginica"}),
        # The book answers only the first row; here every row is answered.
        (
            "POST",
            "/predict",
            {"data": [SETOSA, VIRGINICA]},
            {"prediction": [[0.75, 0.125, 0.125], [0.125, 0.25, 0.625]]},
        ),
        ("POST", "/predict/label", {"data": [SETOSA, VIRGINICA]}, {"prediction": ["setosa", "virginica"]}),
        (
            "POST",
            "/predict/label",
            {"data": [{"petal_width": 0.2, "petal_length": 1.4, "sepal_width": 3.5, "sepal_length": 5}]},
            {"prediction": "setosa"},
        ),
    ],
)
def test_a_table_model_answers_as_in_the_book(method: str, path: str, body: Any, answer: Any) -> None:
    assert ask(iris(), method, path, body) == (200, answer)


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        (
            "GET",
            "/metadata",
            None,
            {
                "data_type": "str",
                "data_structure": "(1,1)",
                "data_sample": "base64 encoded image file",
                "prediction_type": "float32",
                "prediction_structure": "(1,2)",
                "prediction_sample": [0.25, 0.75],
            },
        ),
        ("GET", "/label", None, ["small", "large"]),
        ("GET", "/predict/test/label", None, {"prediction": "large"}),
        ("POST", "/predict", {"data": "YWI="}, {"prediction": [0.75, 0.25]}),
        ("POST", "/predict/label", {"image_data": "YWJjZGU="}, {"prediction": "large"}),
        ("POST", "/predict/label", {"data": ["YWI=", "YWJjZGU="]}, {"prediction": ["small", "large"]}),
    ],
)
def test_an_image_model_answers_as_in_the_book(method: str, path: str, body: Any, answer: Any) -> None:
    assert ask(image(), method, path, body) == (200, answer)


def test_a_text_model_shows_and_answers_text() -> None:
    def shout(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"loud": np.array([[text.upper()] for text in inputs["key"].flat], dtype=object)}

    model = PythonModel(
        lambda: None,
        shout,
        inputs=[TensorSpec("key", "BYTES", (-1, 1), content="key")],
        outputs=[TensorSpec("loud", "BYTES", (-1, 1))],
        sample={"key": np.array([[b"a1"]], dtype=object)},
    )
    described = ask(model, "GET", "/metadata")[1]
    assert (described["data_type"], described["data_sample"]) == ("str", "a1")
    assert (described["prediction_type"], described["prediction_sample"]) == ("str", ["A1"])
    assert ask(model, "POST", "/predict", {"data": "b2"}) == (200, {"prediction": ["B2"]})
    assert ask(model, "POST", "/predict", {"data": ["b2", "c3"]}) == (200, {"prediction": [["B2"], ["C3"]]})


def test_a_pattern_may_present_its_answer_in_another_shape() -> None:
    async def main() -> Any:
        async with client(
            iris(),
            answers=Answers(predict=lambda response, _: {"best": int(response.outputs["probabilities"].argmax())}),
        ) as h:
            return (await h.post("/predict", json={"data": [VIRGINICA]})).json()

    assert asyncio.run(main()) == {"best": 2}


def test_provenance_goes_out_as_headers() -> None:
    async def main() -> None:
        async with client(iris()) as http:
            first, second = [await http.post("/predict", json={"data": [SETOSA]}) for _ in range(2)]
            assert first.headers["x-mlp-version"] == "3"
            assert first.headers["x-mlp-prediction-id"] < second.headers["x-mlp-prediction-id"]

    asyncio.run(main())


def test_several_models_each_have_the_routes_below_their_name() -> None:
    async def main() -> None:
        async with client({"a": iris(), "b": image()}) as http:
            assert (await http.post("/models/a/predict/label", json={"data": [SETOSA]})).json() == {
                "prediction": "setosa"
            }
            assert (await http.get("/models/b/label")).json() == ["small", "large"]
            for path in ("/predict", "/predict/label"):
                refused = await http.post(path, json={"data": [SETOSA]})
                said = f"this server has several models: ask /models/NAME{path}; /docs names them"
                assert (refused.status_code, refused.json()) == (404, {"error": said})
            assert (await http.get("/predictions")).json() == {"error": "there is nothing at this path"}
            assert (await http.get("/v2/models/b")).json()["name"] == "b"

    asyncio.run(main())


@pytest.mark.parametrize(("score", "label"), [(0.5, "inlier"), (-0.5, "outlier"), (0.0, "outlier")])
def test_one_score_for_two_labels_is_above_the_threshold_for_the_second(score: float, label: str) -> None:
    def decide(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"score": np.full((len(inputs["input"]), 1), score, np.float32)}

    detector = PythonModel(
        lambda: None, decide, name="detector", labels=("outlier", "inlier"),
        inputs=[TensorSpec("input", "FP32", (-1, 1))], outputs=[TensorSpec("score", "FP32", (-1, 1))],
    )  # fmt: skip
    assert ask(detector, "POST", "/predict", {"data": [[1]]}) == (200, {"prediction": [score]})
    status, answer = ask(detector, "POST", "/predict/label", {"data": [[1], [2]]})
    assert (status, "needs a threshold" in answer["error"]) == (500, True)
    detector._described = replace(detector._described, threshold=0.0)
    assert ask(detector, "POST", "/predict/label", {"data": [[1], [2]]}) == (200, {"prediction": [label, label]})
