"""What reaches a model on every face: what it takes, no more rows than it takes, and nobody can write to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import Predictor
from mlpatterns.server.rows import decoder_for
from mlpatterns.testing import client
from unit.server.grpc.asking import Status, asking, iris_request

NAN = float("nan")
ALLOW = " (allow it with missing=True in the model's TensorSpec or --missing b)"


def kept(**options: Any) -> tuple[PythonModel, list[Array]]:
    """A model that gives back its input, and what it was given."""
    seen: list[Array] = []

    def predict(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        seen.append(inputs["input"])
        return {"y": np.nan_to_num(inputs["input"], nan=-1.0)}

    spec = TensorSpec("input", "FP32", (-1, 2), fields=("a", "b"), missing=options.pop("missing", False))
    made = PythonModel(
        lambda: None, predict, name="iris", inputs=[spec], outputs=[TensorSpec("y", "FP32", (-1, 2))],
        sample={"input": np.zeros((1, 2), np.float32)}, **options,
    )  # fmt: skip
    return made, seen


def ask(served: Predictor, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client(served) as http:
            return [await http.request(method, path, json=body) for method, path, body in requests]

    return asyncio.run(main())


def rows(data: Any) -> tuple[str, str, Any]:
    return "POST", "/predict", {"data": data}


def tensor(data: Any, shape: tuple[int, ...] = (1, 2)) -> tuple[str, str, Any]:
    given = {"name": "input", "datatype": "FP32", "shape": list(shape), "data": data}
    return "POST", "/v2/models/iris/infer", {"inputs": [given]}


# ---- nobody can write to it ------------------------------------------------------------------------------------------


def test_inputs_are_read_only_on_every_face_and_the_sample_stays_as_it_is() -> None:
    model, seen = kept()
    ask(model, rows([[1, 2]]), rows([{"a": 1, "b": 2}] * 2), tensor([1, 2]), ("GET", "/predict/test", None),
        ("GET", "/metadata", None))  # fmt: skip
    assert [array.flags.writeable for array in seen] == [False] * 5


@pytest.mark.parametrize("raw", [True, False])
def test_inputs_are_read_only_over_grpc_too(raw: bool) -> None:
    model, seen = kept()

    async def test(grpc: Any) -> None:
        await grpc.infer(iris_request([[1.0, 2.0]], raw=raw))

    asking(test, model)
    assert [array.flags.writeable for array in seen] == [False]


# ---- what is missing -------------------------------------------------------------------------------------------------


def test_null_becomes_nan_where_the_model_takes_what_is_missing() -> None:
    model, seen = kept(missing=True)
    sent = [rows([[1, None]]), rows([[None, 1e9], [None, None]]), rows([{"a": None, "b": 2}]), tensor([None, 2]),
            tensor([[None, 2]])]  # fmt: skip
    answers = ask(model, *sent)
    assert [answer.status_code for answer in answers] == [200] * len(sent)
    expected = [[[1, NAN]], [[NAN, 1e9], [NAN, NAN]], [[NAN, 2]], [[NAN, 2]], [[NAN, 2]]]
    for array, values in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(array, np.array(values, np.float32))
        assert array.dtype == np.float32


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (rows([[1, None]]), f"data[0][1] (b) must be a number, not null{ALLOW}"),
        (rows([{"a": 1, "b": None}]), f"data[0]: b must be a number, not null{ALLOW}"),
        (tensor([1, None]), f"input 'input': expected a number, got null at data[1]{ALLOW.replace(' b)', ' COLUMN)')}"),
    ],
)
def test_elsewhere_the_sentence_says_which_column(sent: Any, sentence: str) -> None:
    [answer] = ask(kept()[0], sent)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (rows([[1, "2"]]), "data[0][1] (b) must be a number or null, not a string"),
        (rows([{"a": 1, "b": True}]), "data[0]: b must be a number or null, not a boolean"),
        (rows([{"a": 1}]), "data[0]: missing b"),
        (rows([[None, 1e39]]), "data holds 1e+39, which does not fit a float32"),
        (rows([[None, 1e39], [None, 1]]), "data holds a number that does not fit a float32"),
        (tensor([None, 1e39]), "input 'input' has a number that does not fit FP32"),
        (tensor([None, "2"]), "input 'input': expected a number or null, got a string at data[1]"),
    ],
)
def test_what_is_missing_hides_no_mistake_beside_it(sent: Any, sentence: str) -> None:
    [answer] = ask(kept(missing=True)[0], sent)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


def test_a_tensor_of_another_rank_may_miss_numbers_too() -> None:
    decode = decoder_for(TensorSpec("x", "FP16", (-1, 1, 2), missing=True), 100)
    np.testing.assert_array_equal(decode(b'{"data": [[[null, 2]]]}'), np.array([[[NAN, 2]]], np.float16))


def test_the_document_allows_null_where_it_is_accepted() -> None:
    for missing, kind in ((True, ["number", "null"]), (False, "number")):
        [answer] = ask(kept(missing=missing)[0], ("GET", "/openapi.json", None))
        data = answer.json()["components"]["schemas"]["iris.Rows"]["properties"]["data"]
        by_position, by_name, by_column = data["anyOf"]
        assert by_position["items"]["items"]["type"] == kind
        assert by_name["items"]["properties"]["a"]["type"] == kind
        assert by_column["properties"]["a"]["items"]["type"] == kind


# ---- how many rows ---------------------------------------------------------------------------------------------------


def test_a_batch_larger_than_the_model_takes_is_refused_on_every_face_and_said_in_the_configuration() -> None:
    model, seen = kept(max_batch_size=2)
    three = [[1, 2]] * 3
    whole = ask(model, rows(three), tensor(three, (3, 2)), rows(three[:2]), ("GET", "/v2/models/iris/config", None),
                ("GET", "/v2/models/iris", None), ("GET", "/openapi.json", None))  # fmt: skip
    assert [answer.status_code for answer in whole] == [400, 400, 200, 200, 200, 200]
    assert whole[0].json() == {"error": "data holds 3 rows, but the model takes at most 2 in one request"}
    assert whole[1].json() == {"error": "input 'input' has 3 rows, but the model takes at most 2 in one request"}
    assert whole[3].json()["max_batch_size"] == 2
    assert whole[4].json()["parameters"]["max_batch_size"] == 2
    data = whole[5].json()["components"]["schemas"]["iris.Rows"]["properties"]["data"]
    assert [form["maxItems"] for form in data["anyOf"][:2]] == [2, 2]
    assert len(seen) == 1

    async def test(grpc: Any) -> None:
        status, sentence = await grpc.not_inferred(iris_request([[1.0, 2.0]] * 3))
        assert status == Status.INVALID_ARGUMENT
        assert "at most 2 in one request" in sentence

    asking(test, kept(max_batch_size=2)[0])


def test_inputs_of_different_numbers_of_rows_are_refused() -> None:
    specs = [TensorSpec(name, "FP32", (-1,)) for name in ("x", "y")]
    model = PythonModel(lambda: None, lambda _, inputs: inputs, inputs=specs, outputs=specs, name="two")
    tensors = [{"name": name, "datatype": "FP32", "shape": [count], "data": [1] * count} for name, count in
               (("x", 2), ("y", 1))]  # fmt: skip
    [answer] = ask(model, ("POST", "/v2/models/two/infer", {"inputs": tensors}))
    assert answer.status_code == 400
    assert answer.json() == {"error": "input 'y' has 1 rows, but input 'x' has 2; all must have the same number"}
