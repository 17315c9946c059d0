"""The routes of the Open Inference Protocol: what the codec's own tests do not see."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import numpy as np
import pytest

from mlpatterns.oip.client_codec import decode_response, encode_request
from mlpatterns.predictor import TensorSpec
from mlpatterns.testing import CountingModel, SlowModel, client
from unit.server.doubles import iris

TENSOR = {"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}
INFER = "/v2/models/iris/infer"


def ask(served: Any, method: str, path: str, **fields: Any) -> httpx.Response:
    async def main() -> httpx.Response:
        async with client(served) as http:
            return await http.request(method, path, **fields)

    return asyncio.run(main())


def test_the_server_and_the_model_describe_themselves() -> None:
    extensions = ask(iris(), "GET", "/v2").json()["extensions"]
    assert extensions == ["binary_tensor_data", "model_configuration", "statistics", "model_repository"]
    assert ask(iris(), "GET", "/v2/").status_code == 200
    described = ask(iris(), "GET", "/v2/models/iris").json()
    assert (described["name"], described["versions"]) == ("iris", ["3"])
    assert [(s["name"], s["datatype"], s["shape"]) for s in described["inputs"]] == [("input", "FP32", [-1, 4])]
    assert described["parameters"]["primary_output"] == "probabilities"


@pytest.mark.parametrize("path", ["/v2/models/iris", "/v2/models/iris/ready", "/v2/models/iris/versions/3/ready"])
def test_a_version_that_there_is_may_be_named(path: str) -> None:
    assert ask(iris(), "GET", path).status_code == 200


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/v2/models/rose", "there is no model 'rose'; this server has iris"),
        ("/v2/models/iris/versions/4", "the model 'iris' has no version '4'; it has 3"),
    ],
)
def test_a_model_or_version_that_there_is_not_is_404(path: str, sentence: str) -> None:
    answer = ask(iris(), "GET", path)
    assert (answer.status_code, answer.json()) == (404, {"error": sentence})


def test_the_id_comes_back_and_the_answer_names_the_model_by_the_name_it_is_served_under() -> None:
    answer = ask({"flower": iris()}, "POST", "/v2/models/flower/infer", json={"id": "a1", "inputs": [TENSOR]}).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a1", "flower", "3")
    assert answer["outputs"][0]["data"] == [0.75, 0.125, 0.125]


@pytest.mark.parametrize("rows", [1, 5_000])
def test_binary_in_and_out_small_on_the_loop_and_large(rows: int) -> None:
    values = np.tile(np.array([[5.1, 3.5, 1.4, 0.2]], np.float32), (rows, 1))
    spec = TensorSpec("input", "FP32", (-1, 4))
    body, length = encode_request({"input": values}, [spec])
    answer = ask(iris(), "POST", INFER, content=body, headers={"Inference-Header-Content-Length": str(length)})
    assert answer.headers["content-type"] == "application/octet-stream"
    decoded = decode_response(answer.content, int(answer.headers["inference-header-content-length"]))
    np.testing.assert_array_equal(decoded.outputs["probabilities"], np.tile([[0.75, 0.125, 0.125]], (rows, 1)))


def test_packed_requests_are_unpacked_and_answers_packed_for_those_who_like_them_so() -> None:
    body = gzip.compress(
        json.dumps({"inputs": [{**TENSOR, "shape": [500, 4], "data": [5.1, 3.5, 1.4, 0.2] * 500}]}).encode()
    )
    answer = ask(iris(), "POST", INFER, content=body, headers={"content-encoding": "gzip", "accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["outputs"][0]["shape"] == [500, 3]


@pytest.mark.parametrize("timeout", ["soon", -1, True, 1.5])
def test_a_malformed_timeout_is_bad_input(timeout: Any) -> None:
    answer = ask(iris(), "POST", INFER, json={"inputs": [TENSOR], "parameters": {"timeout": timeout}})
    assert (answer.status_code, "timeout" in answer.json()["error"]) == (400, True)


def test_the_timeout_of_the_protocol_is_a_deadline_in_microseconds() -> None:
    slow = SlowModel("iris", seconds=60)
    tensor = {**TENSOR, "shape": [1, 4]}
    answer = ask(slow, "POST", INFER, json={"inputs": [tensor], "parameters": {"timeout": 20_000}})
    assert (answer.status_code, slow.cancelled) == (504, 1)


def test_who_asks_in_how_much_time_is_no_part_of_what_is_asked() -> None:
    model = CountingModel("iris")
    ask(model, "POST", INFER, json={"inputs": [TENSOR], "parameters": {"timeout": 5_000_000, "flag": True}})
    assert dict(model.requests[0].parameters) == {"flag": True}
    assert model.requests[0].deadline is not None


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 20])
def test_a_false_length_of_the_json_is_bad_input(length: str) -> None:
    answer = ask(iris(), "POST", INFER, content=b"{}", headers={"Inference-Header-Content-Length": length})
    assert answer.status_code == 400
