"""What a predictor is made of.

What you need for a predictor or a piece of your own; `src/mlpatterns/predictor.py` is the source to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from mlpatterns import (
    BasePredictor,
    Caller,
    Context,
    Health,
    InferenceRequest,
    InferenceResponse,
    InvalidInput,
    InvalidSpec,
    ModelMetadata,
    Note,
    Operation,
    Pipeline,
    Predictor,
    Program,
    Runtime,
    TensorSpec,
    Wrapper,
    running,
)
from mlpatterns.testing import CountingModel, FakeClock, client, request

NAMES = ("Predictor", "BasePredictor", "Wrapper", "TensorSpec", "ModelMetadata", "InferenceRequest",
         "InferenceResponse", "Context", "Note", "Health", "Operation", "Caller", "Program", "Runtime")  # fmt: skip


def predictor_example() -> None:
    def leaves(root: Predictor) -> list[str]:
        return [name for child in root.children.values() for name in leaves(child)] or [root.name]

    assert leaves(Pipeline(CountingModel("first"), CountingModel("second"))) == ["first", "second"]


async def base_predictor_example() -> None:
    class Doubled(BasePredictor):
        @property
        def metadata(self) -> ModelMetadata:
            x, y = (TensorSpec(name, "FP32", (-1, 2)) for name in ("x", "y"))
            return ModelMetadata(self.name, "1", "python", inputs=(x,), outputs=(y,), primary_output="y")

        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            return InferenceResponse({"y": request.inputs["x"] * 2}, self.name, "1")

    async with client(Doubled("doubled")) as http:
        answer = await http.post("/predict", json={"data": [[1, 2]]})
    assert answer.json()["prediction"] == [2, 4]


async def wrapper_example() -> None:
    class Positive(Wrapper):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            if any((rows < 0).any() for rows in request.inputs.values()):
                raise InvalidInput("no value may be below 0")
            return await super().predict(request)

    async with client(Positive(CountingModel())) as http:
        answer = await http.post("/predict", json={"data": [[1, -2]]})
    assert (answer.status_code, answer.json()["error"]) == (400, "no value may be below 0")


def tensor_spec_example() -> None:
    spec = TensorSpec("input", np.float32, ("batch", 2), fields=["length", "width"], missing=True)
    assert (spec.datatype, spec.shape) == ("FP32", (-1, 2))
    try:
        TensorSpec("input", "FP32", (-1, 3), fields=["length", "width"])
    except InvalidSpec as error:
        assert str(error) == "tensor 'input' has 2 column names for 3 columns"


async def model_metadata_example() -> None:
    model = CountingModel(fields=["length", "width"])
    async with running(model):
        described: ModelMetadata = model.metadata
    assert described.inputs[0].fields == ("length", "width")
    assert described.primary_output == "probabilities"


async def inference_request_example() -> None:
    inputs = {"input": np.array([[1, 2]], np.float32)}
    asked = InferenceRequest(inputs, Context("7f3a"), parameters={"factor": 2}, outputs=("probabilities",))
    model = CountingModel()
    async with running(model):
        await model.predict(asked)
    assert model.requests == [asked]


async def inference_response_example() -> None:
    model = CountingModel(version="3")
    async with running(model):
        response: InferenceResponse = await model.predict(request([[1, 2]]))
    assert response.outputs["probabilities"].tolist() == [[3]]
    assert (response.model_version, response.status, response.degraded) == ("3", "done", False)


def context_example() -> None:
    context = Context("7f3a", headers={"user-id": "ann"}, where="iris")
    with context.step("prep") as inside:
        inside.note("rows", 3, public=True)
    assert [(note.path, note.key) for note in context.notes] == [("iris/prep", "rows"), ("iris/prep", "ms")]


async def note_example() -> None:
    class Noting(Wrapper):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            request.context.note("weather", "rain", public=True)
            return await super().predict(request)

    async with client(Noting(CountingModel())) as http:
        answer = await http.post("/predict", json={"data": [[1, 2]]})
    assert answer.headers["x-mlp-weather"] == "rain"
    assert Note("noting", "weather", "rain").public is False


async def health_example() -> None:
    class Tired(Wrapper):
        def health(self) -> Health:
            return Health(ready=False, reason="it is asleep")

    async with client(Tired(CountingModel())) as http:
        answer = await http.get("/health/ready")
    assert answer.status_code == 503


async def operation_example() -> None:
    class Counted(Wrapper):
        async def count(self, input: None, caller: Caller) -> dict[str, int]:
            """How many rows were answered."""
            return {"rows": model.rows}

        @property
        def operations(self) -> list[Operation]:  # type: ignore[override]
            return [Operation("count", "query", "public", type(None), dict, self.count)]

    model = CountingModel()
    async with client(Counted(model)) as http:
        await http.post("/predict", json={"data": [[1, 2], [3, 4]]})
        assert (await http.get("/count")).json() == {"rows": 2}


async def caller_example() -> None:
    async def who(input: None, caller: Caller) -> dict[str, str | None]:
        """Who asks."""
        return {"principal": caller.principal}

    operation = Operation("who", "query", "public", type(None), dict, who)
    assert await operation.handler(None, Caller("ann", {}, deadline=30.0)) == {"principal": "ann"}


async def program_example() -> None:
    class Ticking:
        name, exclusive = "ticking", False

        async def run(self, runtime: Runtime) -> None:
            while True:
                ticked.set()
                await runtime.clock.sleep(1)

    class Ticked(Wrapper):
        programs: Sequence[Program] = (Ticking(),)

    ticked = asyncio.Event()
    async with client(Ticked(CountingModel())):
        await asyncio.wait_for(ticked.wait(), 5)


async def runtime_example() -> None:
    class Aged(Wrapper):
        async def start(self, runtime: Runtime) -> None:
            self.clock, self.began = runtime.clock, runtime.clock.monotonic()
            self.asked = runtime.metrics.counter("mlpatterns_asked_total", "requests", piece=runtime.path)

        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            self.asked.inc()
            request.context.note("age", self.clock.monotonic() - self.began)
            return await super().predict(request)

    clock, asked = FakeClock(), request([[1, 2]])
    async with running(aged := Aged(CountingModel()), clock=clock):
        await clock.advance(60)
        await aged.predict(asked)
    assert (asked.context.notes[0].value, aged.asked.value) == (60, 1)
