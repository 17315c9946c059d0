"""The functions of a PythonModel: which forms they may have, and what is said of those that cannot work."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pytest

from mlpatterns import PredictionCache
from mlpatterns.errors import InternalError
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import request
from mlpatterns.user_errors import CompositionError
from unit.models import functions

Arrays = Mapping[str, Array]
INPUTS, OUTPUTS = [TensorSpec("x", "FP32", (-1, 1))], [TensorSpec("y", "FP32", (-1, 1))]
everywhere = pytest.mark.parametrize("run_on", ["loop", "thread", "process"])
RunOn = Literal["loop", "thread", "process"]


def model(*positional: Any, **options: Any) -> PythonModel:
    return PythonModel(*positional, **{"inputs": INPUTS, "outputs": OUTPUTS, **options})


def answer(root: Predictor, *, times: int = 1, parameters: Any = None) -> float:
    async def main() -> float:
        async with running(root, settings=Settings(control="memory://")):
            for _ in range(times):
                response = await root.predict(request({"x": [[2.0]]}, parameters=parameters or {}))
            return float(response.outputs["y"][0, 0])

    return asyncio.run(main())


class Doubler:
    def __call__(self, inputs: Arrays) -> Arrays:
        return {"y": 2 * inputs["x"]}

    def doubled(self, inputs: Arrays) -> Arrays:
        return self(inputs)


class AsyncDoubler:
    async def __call__(self, inputs: Arrays) -> Arrays:
        return {"y": 2 * inputs["x"]}


async def double_later(inputs: Arrays) -> Arrays:
    return {"y": 2 * inputs["x"]}


def yields(inputs: Arrays) -> Iterator[Arrays]:
    yield inputs


async def yields_later(inputs: Arrays) -> Any:
    yield inputs


# ---- forms ----


@pytest.mark.parametrize(
    "predict",
    [
        functions.double, functools.partial(functions.times, 2.0), Doubler(), Doubler().doubled, lambda inputs: {
            "y": 2 * inputs["x"]}, double_later, AsyncDoubler(), functools.partial(double_later),
        lambda inputs: double_later(inputs), lambda *given: functions.double(*given),
    ],
)  # fmt: skip
def test_without_load_predict_gets_the_inputs_alone_whatever_kind_of_function_it_is(predict: Any) -> None:
    assert answer(model(predict=predict)) == 4.0


@everywhere
def test_it_runs_without_load_everywhere(run_on: RunOn) -> None:
    assert answer(model(predict=functions.double, run_on=run_on)) == 4.0
    assert answer(model(predict=functools.partial(functions.times, 2.0), run_on=run_on)) == 4.0
    assert answer(model(predict=functions.Doubler().doubled, run_on=run_on)) == 4.0


def test_load_may_be_a_class_whose_object_is_the_state() -> None:
    assert answer(model(Doubler, lambda state, inputs: state(inputs))) == 4.0
    assert answer(model(lambda: None, lambda state, inputs: {"y": 2 * inputs["x"]})) == 4.0  # None is a state too


@everywhere
def test_the_parameters_of_the_request_reach_a_predict_that_takes_them(run_on: RunOn) -> None:
    root = model(predict=functions.scaled, run_on=run_on)
    assert answer(root, parameters={"factor": 5}) == 10.0


@everywhere
def test_they_come_after_the_state(run_on: RunOn) -> None:
    with_state = model(functions.load, functions.scaled_with_state, run_on=run_on)
    assert answer(with_state, parameters={"factor": 3}) == 16.0


def test_a_predict_that_does_not_take_parameters_does_not_get_them() -> None:
    assert answer(model(predict=functions.double), parameters={"factor": 3}) == 4.0
    assert answer(model(predict=lambda parameters: {"y": parameters["x"]}), parameters={"x": 3}) == 2.0  # the inputs
    assert answer(model(predict=lambda inputs, **more: {"y": inputs["x"] + len(more)}), parameters={"a": 3}) == 2.0


def test_a_cache_tells_requests_with_other_parameters_apart() -> None:
    calls: list[int] = []

    def predict(inputs: Arrays, *, parameters: Mapping[str, Any]) -> Arrays:
        calls.append(parameters["factor"])
        return {"y": inputs["x"] * parameters["factor"]}

    cache = PredictionCache(model(predict=predict, digest="1"))

    async def main() -> list[float]:
        async with running(cache, settings=Settings(control="memory://", cache="memory://")):
            asked = [request({"x": [[2.0]]}, parameters={"factor": factor}) for factor in (1, 3, 1)]
            return [float((await cache.predict(one)).outputs["y"][0, 0]) for one in asked]

    assert asyncio.run(main()) == [2.0, 6.0, 2.0]
    assert calls == [1, 3]


# ---- what cannot work ----


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, r"has no predict: write PythonModel\(predict=…, …\)"),
        ({"load": functions.load}, "has no predict"),
        (
            {"predict": functions.load},
            r"predict must take \(inputs\), and parameters .* but it takes \(\); without load",
        ),
        ({"predict": lambda state, inputs: {}}, r"takes \(state, inputs\); without load there is no state"),
        ({"predict": lambda inputs, more: {}}, r"takes \(inputs, more\)"),
        ({"predict": lambda inputs, *, more: {}}, r"takes \(inputs, more\)"),
        ({"load": functions.load, "predict": functions.double}, r"must take \(state, inputs\).* takes \(inputs\); sta"),
        ({"load": functions.double, "predict": functions.predict}, r"load must take \(\), but it takes \(inputs\)"),
        ({"load": 3.0, "predict": functions.predict}, "load must be a function, not a float"),
        ({"predict": {"y": 1}}, "predict must be a function, not a dict"),
        ({"predict": yields}, "predict yields, but its whole result is needed"),
        ({"predict": yields_later}, "predict yields"),
        ({"load": yields_later, "predict": functions.predict}, "load yields"),
        ({"predict": functions.double, "inputs": []}, "needs inputs"),
        ({"predict": functions.double, "inputs": [("x", "FP32")]}, "inputs must be a list of TensorSpecs"),
        ({"predict": functions.double, "outputs": OUTPUTS[0]}, "outputs must be a list of TensorSpecs"),
        ({"predict": functions.double, "inputs": INPUTS * 2}, "has two inputs with the same name"),
        ({"predict": functions.double, "primary_output": "z"}, "has no output 'z' to be the primary one; it has y"),
        ({"predict": functions.double, "max_batch_size": 0}, "max_batch_size must be at least 1"),
        ({"predict": functions.double, "sample": [[1.0]]}, "must hold arrays by the names"),
        ({"predict": functions.double, "sample": {"z": [[1.0]]}}, "the sample does not fit the inputs: there is no in"),
        ({"predict": functions.double, "sample": {"x": [1.0]}}, "the sample does not fit the inputs: input 'x' has sh"),
        ({"predict": functions.double, "sample": {"x": "a"}}, "the inputs: 'x' is FP32, but the sample holds text"),
        ({"predict": functions.double, "sample": {"x": [[1], [2]]}, "max_batch_size": 1}, "sample .* at most 1"),
    ],
)
@everywhere
def test_what_cannot_work_is_refused_where_it_is_written(given: dict[str, Any], words: str, run_on: RunOn) -> None:
    with pytest.raises(CompositionError, match=words):
        model(**given, run_on=run_on)


@pytest.mark.parametrize("predict", [double_later, AsyncDoubler(), functools.partial(double_later)])
def test_async_functions_of_every_kind_are_for_the_loop_alone(predict: Any) -> None:
    for run_on in ("thread", "process"):
        with pytest.raises(CompositionError, match="use run_on='loop'"):
            model(predict=predict, run_on=run_on)


def test_a_function_that_turns_out_to_wait_is_told_where_it_may() -> None:
    with pytest.raises(InternalError, match="needs run_on='loop'"):
        answer(model(predict=lambda inputs: double_later(inputs), run_on="thread"))


def test_the_sample_becomes_arrays_of_the_declared_datatypes() -> None:
    root = model(predict=functions.double, sample={"x": [[1], [2]]})

    async def main() -> Array:
        async with running(root, settings=Settings(control="memory://")):
            assert root.metadata.sample is not None
            return root.metadata.sample["x"]

    sample = asyncio.run(main())
    assert (sample.dtype.name, sample.tolist()) == ("float32", [[1.0], [2.0]])


def test_the_types_say_what_may_be_given() -> None:
    """For mypy, which reads the tests: no function here needs a cast."""
    first: Callable[[], PythonModel] = lambda: PythonModel(  # noqa: E731
        predict=functions.double, inputs=[TensorSpec("x", np.float32, [None, 1])], outputs=OUTPUTS
    )
    assert answer(first()) == 4.0
