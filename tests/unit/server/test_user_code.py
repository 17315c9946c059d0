"""User code may raise anything: the caller gets a 500 as always, its slot is free again, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import httpx
import numpy as np
import pytest

from mlpatterns import FanOut, Pipeline, PredictionCache
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.server.answers import Answers
from mlpatterns.server.app import serve
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client


class Panic(BaseException):
    """As the exceptions that Rust's extension modules raise."""


ERRORS: dict[str, type[BaseException]] = {
    error.__name__: error
    for error in (
        SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, StopAsyncIteration, asyncio.CancelledError, Panic,
        ValueError,
    )
}  # fmt: skip
every_error = pytest.mark.parametrize("error", list(ERRORS))
Arrays = Mapping[str, Array]


def load() -> None:
    return None


def scores(inputs: Arrays) -> dict[str, Array]:
    return {"y": inputs["x"].sum(axis=1)}


def predict(_: None, inputs: Arrays) -> dict[str, Array]:
    """Raises the error that the first number names, if it names one."""
    named = int(inputs["x"][0, 0])
    if named < len(ERRORS):
        raise list(ERRORS.values())[named]("/secret/path")
    return scores(inputs)


async def predict_later(_: None, inputs: Arrays) -> dict[str, Array]:
    await asyncio.sleep(0)
    return predict(None, inputs)


def model(function: Callable[..., Any], run_on: Literal["loop", "thread", "process"]) -> PythonModel:
    return PythonModel(
        load, function, inputs=[TensorSpec("x", "FP32", (-1, 2))], outputs=[TensorSpec("y", "FP32", (-1,))],
        sample={"x": np.full((1, 2), 99.0, np.float32)}, run_on=run_on,
    )  # fmt: skip


def asked(served: Any, *rows: list[float], **options: Any) -> list[httpx.Response]:
    """The answers to `rows`, asked one after the other of a server that takes one at a time."""

    async def main() -> list[httpx.Response]:
        settings = Settings(max_concurrency=1, max_queue=0)
        async with client(served, settings=settings, **options) as http, asyncio.timeout(20):
            return [await http.post("/predict", json={"data": [row]}) for row in rows]

    return asyncio.run(main())


def assert_internal(answer: httpx.Response) -> None:
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("function", "run_on"),
    [(predict, "loop"), (predict_later, "loop"), (predict, "thread"), (predict, "process")],
)
def test_a_model_may_raise_anything(
    function: Callable[..., Any], run_on: Literal["loop", "thread", "process"], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row for named in range(len(ERRORS)) for row in ([float(named), 0.0], [98.0, 1.0])]
    answers = asked(model(function, run_on), *rows)
    for failed, following in zip(answers[::2], answers[1::2], strict=True):
        assert_internal(failed)
        assert failed.json() == {"error": "the model failed"}
        assert (following.status_code, following.json()) == (200, {"prediction": 99.0})
    assert "/secret/path" in caplog.text


class Raises(CountingModel):
    """A predictor of its own kind, which no leaf of ours is around."""

    def __init__(self, error: type[BaseException], *, waits: bool) -> None:
        super().__init__("raises", digest="1")
        self.error, self.waits = error, waits

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if self.waits:
            await asyncio.sleep(0)
        raise self.error("/secret/path")


AROUND: dict[str, Callable[[Predictor], Predictor]] = {
    "nothing": lambda part: part,
    "Pipeline": lambda part: Pipeline(part),
    "FanOut": lambda part: FanOut({"one": part, "two": CountingModel()}),
    "PredictionCache": lambda part: PredictionCache(part),
}


@every_error
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("around", list(AROUND))
def test_a_predictor_may_raise_anything(around: str, waits: bool, error: str) -> None:
    for answer in asked(AROUND[around](Raises(ERRORS[error], waits=waits)), [1.0, 2.0], [1.0, 2.0]):
        assert_internal(answer)


@every_error
def test_a_predictor_that_raises_anything_is_counted_as_failed(error: str) -> None:
    async def main() -> str:
        async with client(Raises(ERRORS[error], waits=True)) as http:
            assert_internal(await http.post("/predict", json={"data": [[1.0]]}))
            return (await http.get("/metrics")).text

    metrics = asyncio.run(main())
    assert 'mlpatterns_requests_total{route="/predict",status="500"} 1.0' in metrics
    assert "mlpatterns_requests_in_flight 1.0" in metrics  # /metrics itself


@every_error
@pytest.mark.parametrize("later", [False, True])
def test_what_combines_the_parts_of_a_fan_out_may_raise_anything(error: str, later: bool) -> None:
    def combine(_: Mapping[str, InferenceResponse]) -> dict[str, Array]:
        raise ERRORS[error]("/secret/path")

    async def combine_later(answers: Mapping[str, InferenceResponse]) -> dict[str, Array]:
        await asyncio.sleep(0)
        return combine(answers)

    made: Callable[..., dict[str, Array] | Awaitable[dict[str, Array]]] = combine_later if later else combine
    both = FanOut({"a": CountingModel()}, combine=made, outputs=[TensorSpec("best", "FP32", (-1, 1))])
    (answer,) = asked(both, [1.0, 2.0])
    assert_internal(answer)
    assert answer.json() == {"error": "the answers of the parts could not be combined"}


@every_error
def test_who_decides_how_answers_look_and_who_may_ask_may_raise_anything(error: str) -> None:
    def fails(*_: Any) -> Any:
        raise ERRORS[error]("/secret/path")

    shaped: dict[str, Any] = {"answers": Answers(predict=fails)}
    for options in (shaped, {"auth": fails}):
        for answer in asked(CountingModel(), [1.0, 2.0], [1.0, 2.0], **options):
            assert_internal(answer)


@every_error
def test_a_load_that_raises_anything_fails_the_start_with_a_sentence(error: str) -> None:
    def fails() -> None:
        raise ERRORS[error]("no weights")

    for run_on in ("loop", "thread"):
        broken = PythonModel(
            fails, predict, inputs=[TensorSpec("x", "FP32", (-1, 2))], outputs=[TensorSpec("y", "FP32", (-1,))],
            run_on=run_on, name="broken",
        )  # fmt: skip

        async def main(broken: PythonModel = broken) -> None:
            async with serve(lambda: broken).running():
                raise AssertionError("it must not start")

        with pytest.raises(Exception, match=f"the model 'broken' did not load: .*{error}.*no weights"):
            asyncio.run(main())


def test_a_client_that_leaves_is_still_told_from_a_model_that_raises_a_cancellation() -> None:
    entered, ended = asyncio.Event(), []

    class Waits(CountingModel):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            try:
                entered.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            raise AssertionError

    async def main() -> None:
        async with client(Waits()) as http:
            asking = asyncio.create_task(http.post("/predict", json={"data": [[1.0]]}))
            await entered.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert 'route="/predict",status="499"} 1.0' in (await http.get("/metrics")).text

    asyncio.run(main())
    assert ended == ["cancelled"]
