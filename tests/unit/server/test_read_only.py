"""Inputs are read-only wherever they come from, and who writes into one is told to copy it first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest

from mlpatterns import Batcher, DataCache, FanOut, JobQueue, Pipeline, PredictionCache
from mlpatterns.errors import InternalError
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.predictor import InferenceRequest, Predictor, Runtime
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client, job_ended, request
from mlpatterns.user_code import WRITES
from unit.server.elsewhere import served_elsewhere
from unit.server.grpc.asking import Asking as GrpcAsking
from unit.server.grpc.asking import asking, iris_request

Arrays = Mapping[str, Array]
RunOn = Literal["loop", "thread", "process"]
ROW = {"data": [[1.0, 2.0]]}


class Scribbler(CountingModel):
    """A predictor of its own kind, which writes into its input."""

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        request.inputs["input"][0, 0] = 7.0


def scribble(inputs: Arrays) -> Arrays:
    (value,) = inputs.values()
    value[0, 0] = value[0, 0]
    return {"y": value}


def python_model(run_on: RunOn = "loop", datatype: str = "FP32", predict: Any = scribble) -> PythonModel:
    specs = [TensorSpec("input", datatype, (-1, 2)), TensorSpec("y", datatype, (-1, 2))]
    sample = {"input": np.full((1, 2), b"a" if datatype == "BYTES" else 1)}
    return PythonModel(predict=predict, inputs=specs[:1], outputs=specs[1:], sample=sample, run_on=run_on, name="m")


def oip(*data: Any, datatype: str = "FP32", shape: Any = (1, 2)) -> dict[str, Any]:
    return {"inputs": [{"name": "input", "datatype": datatype, "shape": shape, "data": list(data)}]}


def binary(pad: str) -> dict[str, Any]:
    """A request with a raw tensor; with one of these pads it is not aligned in the body."""
    values = np.array([1.0, 2.0], "<f4").tobytes()
    head = {"id": pad, "inputs": [
        {"name": "input", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": len(values)}}
    ]}  # fmt: skip
    text = json.dumps(head).encode()
    return {"content": text + values, "headers": {"inference-header-content-length": str(len(text))}}


def asked(served: Predictor, *questions: tuple[str, dict[str, Any] | None]) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client(served) as http:
            return [await (http.get(path) if more is None else http.post(path, **more)) for path, more in questions]

    return asyncio.run(main())


def over_http(name: str, body: dict[str, Any] = ROW, tensor: dict[str, Any] | None = None) -> Any:
    infer = f"/v2/models/{name}/infer"
    return [("/predict", {"json": body}), ("/predict/test", None), ("/metadata", None),
            (infer, {"json": tensor or oip(1.0, 2.0)})]  # fmt: skip


def assert_told(answers: list[httpx.Response]) -> None:
    assert [(answer.status_code, answer.json()) for answer in answers] == [(500, {"error": WRITES})] * len(answers)


@pytest.mark.parametrize(
    "model", [lambda: Scribbler(fields=("a", "b"), labels=("n",)), python_model, lambda: python_model("thread"),
              lambda: python_model("process")],
)  # fmt: skip
def test_over_http(model: Callable[[], Predictor], caplog: pytest.LogCaptureFixture) -> None:
    built = model()
    raw = [(f"/v2/models/{built.name}/infer", binary("x" * pad)) for pad in range(4)]
    answers = asked(built, *over_http(built.name), *raw)
    assert_told(answers)
    assert caplog.text.count("assignment destination is read-only") == len(answers)  # once each, with the traceback
    assert caplog.text.count("[0, 0] =") == len(answers)
    assert caplog.text.count("copy it first") >= len(answers)


@pytest.mark.parametrize("run_on", ["loop", "process"])
def test_texts_over_http(run_on: RunOn) -> None:
    texts = oip("a", "b", datatype="BYTES")
    assert_told(asked(python_model(run_on, "BYTES"), *over_http("m", tensor=texts)[1:]))


@pytest.mark.parametrize("raw", [True, False])
def test_over_grpc(raw: bool) -> None:
    async def work(grpc: GrpcAsking) -> None:
        for name in ("counting", "m"):
            status, said = await grpc.not_inferred(iris_request([[1.0, 2.0]], model=name, raw=raw))
            assert (status.name, said) == ("INTERNAL", WRITES)

    asking(work, {"counting": Scribbler(), "m": python_model()})


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_over_a_remote_model(scheme: str) -> None:
    async def main() -> None:
        async with served_elsewhere(scheme, python_model) as (url, _):
            remote = RemoteModel(url, model="m")
            async with running(remote, settings=Settings(control="memory://")):
                with pytest.raises(InternalError, match="copy it first"):
                    await remote.predict(request([[1.0, 2.0]]))

    asyncio.run(main())


def test_in_the_parts_of_a_system() -> None:
    def passes(inputs: Arrays) -> Arrays:
        return {"input": inputs["input"] + 1.0}

    first = PythonModel(predict=passes, inputs=[TensorSpec("input", "FP32", (-1, 2))],
                        outputs=[TensorSpec("input", "FP32", (-1, 2))], name="first")  # fmt: skip
    for system, said in (
        (Pipeline(first, Scribbler("second")), f"stage 'second': {WRITES}"),
        (FanOut({"one": Scribbler(), "two": CountingModel()}), f"stage 'one': {WRITES}"),
        (PredictionCache(Scribbler()), WRITES),
        (DataCache(Scribbler()), WRITES),
    ):
        (answer,) = asked(system, (f"/v2/models/{system.name}/infer", {"json": oip(1.0, 2.0)}))
        assert (answer.status_code, answer.json()) == (500, {"error": said})


def test_in_a_batch_of_several_requests() -> None:
    class Slow(CountingModel):
        async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
            await asyncio.sleep(0.01)
            seen.append((len(request.inputs["input"]), request.inputs["input"].flags.writeable))

    seen: list[tuple[int, bool]] = []

    async def main() -> None:
        async with client(Batcher(Slow())) as http:
            infer = "/v2/models/counting/infer"
            await asyncio.gather(*(http.post(infer, json=oip(1.0, 2.0)) for _ in range(3)))

    asyncio.run(main())
    assert sorted(seen) == [(1, False), (2, False)]


def test_in_a_job(tmp_path: Path) -> None:
    async def main(model: Predictor) -> Any:
        queue = JobQueue(model, max_attempts=1)
        async with client(queue, settings=Settings(home=tmp_path / model.name)) as http:
            answer = await http.post("/predict", json=ROW)
            return await job_ended(http, answer.json()["job_id"])

    for model in (Scribbler(fields=("a", "b")), python_model()):
        assert asyncio.run(main(model)) == {"prediction": "", "status": "failed", "error": WRITES}
