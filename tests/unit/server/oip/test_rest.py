"""The routes of the Open Inference Protocol: what the codec's own tests do not see."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns.metadata import TensorSpec
from mlpatterns.oip.client_codec import decode_response, encode_request
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.settings import Settings
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


def test_who_asks_for_a_version_is_never_answered_by_the_one_that_came_meanwhile() -> None:
    class Changing(CountingModel):
        async def predict(self, asked: InferenceRequest) -> InferenceResponse:
            self._described = replace(self._described, version="2")
            return await super().predict(asked)

    body = {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}
    answer = ask(Changing("m", version="1"), "POST", "/v2/models/m/versions/1/infer", json=body)
    assert (answer.status_code, answer.json()) == (404, {"error": "the model 'm' has no version '1'; it has 2"})


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


@pytest.mark.parametrize(("held", "status"), [(64 * 2**20, 200), (2**20, 503)])
def test_a_small_body_that_becomes_megabytes_counts_as_these(held: int, status: int) -> None:
    body, length = encode_request({"input": np.zeros((2**17, 4), np.float32)}, [TensorSpec("input", "FP32", (-1, 4))])
    packed = gzip.compress(body)
    assert len(body) > 2 * 2**20 > 400 * len(packed)
    headers = {"content-encoding": "gzip", "Inference-Header-Content-Length": str(length)}

    async def main() -> int:
        async with client(iris(), settings=Settings(max_held_bytes=held)) as http:
            first, second = [await http.post(INFER, content=packed, headers=headers) for _ in range(2)]
            assert first.status_code == second.status_code  # what the first held is free when it is answered
            return first.status_code

    assert asyncio.run(main()) == status


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


# ---- the protocol to the letter -----------------------------------------------------------------------------------


def binary(rows: np.ndarray[Any, Any] = np.ones((2, 4), np.float32), **fields: Any) -> tuple[bytes, str]:  # noqa: B008
    """A body with one raw input, and the length of its JSON."""
    raw = rows.tobytes()
    tensor = {"name": "input", "shape": rows.shape, "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor], **fields}).encode()
    return head + raw, str(len(head))


@pytest.mark.parametrize("way", ["gzip", "deflate"])
def test_the_length_of_the_json_counts_after_unpacking_and_the_answer_is_packed_the_same_way(way: str) -> None:
    pack: Any = gzip.compress if way == "gzip" else zlib.compress
    body, length = binary(np.ones((200, 4), np.float32), parameters={"binary_data_output": True})
    headers = {"content-encoding": way, "accept-encoding": way, "inference-header-content-length": length}
    answer = ask(iris(), "POST", INFER, content=pack(body), headers=headers)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, way)
    assert answer.headers["vary"] == "accept-encoding"
    decoded = decode_response(answer.content, int(answer.headers["inference-header-content-length"]))
    assert decoded.outputs["probabilities"].shape == (200, 3)


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/json", "text/plain"])
def test_the_content_type_of_a_request_does_not_matter(content_type: str | None) -> None:
    body, length = binary()
    headers = {"inference-header-content-length": length} | ({"content-type": content_type} if content_type else {})
    assert ask(iris(), "POST", INFER, content=body, headers=headers).status_code == 200


def test_binary_answers_say_so_in_type_and_length_and_json_answers_do_not() -> None:
    raw = ask(iris(), "POST", INFER, json={"inputs": [TENSOR], "parameters": {"binary_data_output": True}})
    assert raw.headers["content-type"] == "application/octet-stream"
    assert "inference-header-content-length" in raw.headers
    plain = ask(iris(), "POST", INFER, json={"inputs": [TENSOR]})
    assert plain.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in plain.headers


def test_explicit_nulls_and_unknown_fields_change_nothing() -> None:
    plain = ask(iris(), "POST", INFER, json={"inputs": [TENSOR]}).json()
    tensor = {**TENSOR, "parameters": None, "else": 1}
    odd = {"id": None, "parameters": None, "outputs": None, "inputs": [tensor], "more": {"deep": [1]}}
    assert ask(iris(), "POST", INFER, json=odd).json() == plain
    assert "id" not in plain


def test_the_parameters_of_a_request_reach_the_model_without_those_of_the_transport() -> None:
    model = CountingModel("iris")
    parameters = {"priority": 3, "binary_data_output": True, "timeout": 10_000_000}
    ask(model, "POST", INFER, json={"inputs": [TENSOR], "parameters": parameters})
    assert dict(model.requests[0].parameters) == {"priority": 3}


def test_an_empty_batch_is_answered_with_one() -> None:
    answer = ask(CountingModel("iris"), "POST", INFER, json={"inputs": [{**TENSOR, "shape": [0, 4], "data": []}]})
    assert answer.json()["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [0, 1], "data": []}]


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_is_described_without_a_redirect(path: str) -> None:
    assert ask(iris(), "GET", path).json()["name"] == "mlpatterns"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", INFER, 405), ("DELETE", "/v2/models/iris", 405), ("OPTIONS", "/v2", 405), ("POST", "/v2/", 405),
        ("GET", "/v2/nothing", 404), ("GET", "/v2/models/iris/", 404), ("GET", "/v2/systemsharedmemory/status", 404),
    ],
)  # fmt: skip
def test_every_refusal_is_an_error_in_json(method: str, path: str, status: int) -> None:
    answer = ask(iris(), method, path)
    assert (answer.status_code, list(answer.json()), answer.headers["content-type"]) == (
        status, ["error"], "application/json",
    )  # fmt: skip
    assert ("allow" in answer.headers) == (status == 405)


def test_a_head_is_a_get() -> None:
    answer = ask(iris(), "HEAD", "/v2/models/iris")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
