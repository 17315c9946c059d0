"""A piece that accepts a request for later: 202 with a place on the simple API, 200 and OK over the protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns import Pipeline
from mlpatterns.base import Wrapper
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor
from mlpatterns.server.answers import Answers
from mlpatterns.testing import CountingModel, client
from unit.server.doubles import iris
from unit.server.grpc.asking import asking, iris_request

BODY = {"data": [[5.1, 3.5, 1.4, 0.2]]}
ODD = "a/b é"  # what has to be encoded in a path


class Find(Struct):
    id: str


class Later(Wrapper):
    """Accepts everything, and does nothing."""

    def __init__(self, inner: Predictor, jobs: tuple[str, ...] = ("j1",), *, told: bool = True) -> None:
        super().__init__(inner)
        self.jobs = jobs
        if told:
            self.operations = (Operation("job/{id}", "query", "public", Find, str, self.find),)

    @property
    def metadata(self) -> ModelMetadata:
        job = (TensorSpec("job_id", "BYTES", (-1,)),)
        return replace(self.inner.metadata, outputs=job, primary_output="job_id", labels=())

    def describe(self, context: Any) -> ModelMetadata:
        return self.metadata

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        ids = np.array([job.encode() for job in self.jobs], dtype=object)
        return InferenceResponse({"job_id": ids}, self.name, "1", status="accepted")

    async def find(self, asked: Find, caller: Caller) -> str:
        return f"told of {asked.id}"


def answered(served: Any, *requests: tuple[str, str, Any], **options: Any) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client(served, **options) as http:
            return [await http.request(method, path, json=body) for method, path, body in requests]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/predict"), ("POST", "/predict/label"), ("GET", "/predict/test"), ("GET", "/predict/test/label")],
)
def test_the_simple_api_says_202_the_job_and_its_place(method: str, path: str) -> None:
    [answer] = answered(Later(iris()), (method, path, BODY if method == "POST" else None))
    assert (answer.status_code, answer.json()) == (202, {"job_id": "j1"})
    assert answer.headers["location"] == "/job/j1"
    assert answer.headers["x-mlp-version"] == "1"


def test_the_place_is_one_that_answers_whatever_the_id_and_wherever_the_operation_is() -> None:
    async def main() -> None:
        odd = ODD.replace("/", "|")
        two: Any = {"a": Later(iris(), (odd,)), "b": Later(iris(), (odd,))}
        async with client(two) as http:
            place = (await http.post("/models/b/predict", json=BODY)).headers["location"]
            assert place == "/pieces/b/job/a%7Cb%20%C3%A9"
            assert (await http.get(place)).json() == f"told of {odd}"

    asyncio.run(main())
    [answer] = answered(Later(iris(), (ODD,)), ("POST", "/predict", BODY))
    assert answer.headers["location"] == "/job/a%2Fb%20%C3%A9"


def test_several_jobs_are_a_list_and_what_has_no_operation_has_no_place() -> None:
    [several] = answered(Later(iris(), ("j1", "j2")), ("POST", "/predict", BODY))
    [placeless] = answered(Later(iris(), told=False), ("POST", "/predict", BODY))
    assert (several.status_code, several.json()) == (202, {"job_id": ["j1", "j2"]})
    assert placeless.json() == {"job_id": "j1"}
    assert "location" not in several.headers
    assert "location" not in placeless.headers


def test_below_a_mount_point_the_place_is_below_it_too() -> None:
    async def main() -> str:
        async with client(Later(iris())) as http:
            transport = httpx.ASGITransport(app=http._transport.app, root_path="/up")  # type: ignore[attr-defined]
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as mounted:
                return (await mounted.post("/up/predict", json=BODY)).headers["location"]

    assert asyncio.run(main()) == "/up/job/j1"


def test_a_shape_of_the_patterns_own_is_not_asked_of_what_has_no_answer_yet() -> None:
    answers = Answers(predict=lambda response, context: response.outputs["probabilities"].tolist())
    [answer] = answered(Later(iris()), ("POST", "/predict", BODY), answers=answers)
    assert (answer.status_code, answer.json()) == (202, {"job_id": "j1"})


def test_over_the_protocol_it_is_200_with_a_parameter_even_where_other_outputs_were_asked_for() -> None:
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 4], "data": BODY["data"]}
    asked = {"inputs": [tensor], "outputs": [{"name": "job_id", "parameters": {"binary_data": False}}]}
    for body in ({"inputs": [tensor]}, asked):
        [answer] = answered(Later(iris()), ("POST", "/v2/models/iris/infer", body))
        assert answer.status_code == 200
        assert answer.json()["parameters"] == {"status": "accepted"}
        assert answer.json()["outputs"] == [{"name": "job_id", "datatype": "BYTES", "shape": [1], "data": ["j1"]}]


def test_over_grpc_it_is_ok_with_a_parameter() -> None:
    async def test(grpc: Any) -> None:
        found = await grpc.infer(iris_request())
        assert found.parameters["status"].string_param == "accepted"
        assert found.raw_output_contents == [b"\x02\0\0\0j1"]

    asking(test, Later(iris()))


def test_who_accepts_without_a_job_id_is_at_fault() -> None:
    class Idless(Later):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            return replace(await super().predict(request), outputs={})

    [answer] = answered(Idless(iris()), ("POST", "/predict", BODY))
    assert (answer.status_code, answer.json()) == (500, {"error": "the model accepted the request, but gave no job_id"})


def test_the_document_promises_202_and_the_place() -> None:
    [answer] = answered(Later(iris()), ("GET", "/openapi.json", None))
    for path, method in (("/predict", "post"), ("/predict/label", "post"), ("/predict/test", "get")):
        responses = answer.json()["paths"][path][method]["responses"]
        assert "200" not in responses
        assert "location" in responses["202"]["headers"]
        assert "job_id" in responses["202"]["content"]["application/json"]["schema"]["properties"]
    [usual] = answered(iris(), ("GET", "/openapi.json", None))
    assert "202" not in usual.json()["paths"]["/predict"]["post"]["responses"]


def test_the_last_stage_of_a_pipeline_may_accept() -> None:
    served = Pipeline(iris(), Later(CountingModel()))
    [answer] = answered(served, ("POST", "/predict", BODY))
    assert (answer.status_code, answer.json()) == (202, {"job_id": "j1"})
    assert answer.headers["location"] == "/job/j1"
