"""What `serve` is given, and what that makes: each mistake is one sentence, as early as it can be known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mlpatterns.base import BasePredictor, Wrapper
from mlpatterns.errors import NotStarted
from mlpatterns.metadata import ModelMetadata
from mlpatterns.pieces.batcher.batcher import Batcher
from mlpatterns.pieces.fallback import Fallback
from mlpatterns.pieces.limit import Limit
from mlpatterns.pieces.outlier_check import OutlierCheck
from mlpatterns.pieces.pipeline import Pipeline
from mlpatterns.pieces.shadow.shadow import Shadow
from mlpatterns.pieces.sync_async import SyncAsync
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.server.app import serve
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client
from mlpatterns.user_errors import CompositionError


class Estimator:
    """As a model of another library: it predicts, but is no predictor."""

    def predict(self, rows: Any) -> Any:
        return rows


class Nameless(BasePredictor):
    """One that forgot its metadata."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        raise AssertionError


class Own:
    """A predictor without a base class, and without what `missing` names."""

    def __init__(self, *missing: str) -> None:
        inner = CountingModel("own")
        names = [name for name in dir(inner) if not name.startswith("_") and name not in ("metadata", *missing)]
        self.__dict__.update({name: getattr(inner, name) for name in names})
        if "metadata" not in missing:
            self.metadata = None


class Late(CountingModel):
    @property
    def metadata(self) -> ModelMetadata:
        raise NotStarted(self.name)


class Needing:
    def __init__(self, weights: str) -> None: ...


async def later() -> CountingModel:
    return CountingModel()


def started(build: Callable[[], Any]) -> None:
    async def main() -> None:
        async with serve(build, settings=Settings(control="memory://")).running():
            pass

    asyncio.run(main())


INSTEAD = r"serve takes a function that makes what is served, as in serve\(build\) or serve\(lambda: model\)"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (CountingModel(), f"{INSTEAD}, not a CountingModel"),
        ([CountingModel()], f"{INSTEAD}, not a list"),
        ({"a": CountingModel()}, f"{INSTEAD}, not a dict"),
        (Estimator(), f"{INSTEAD}, not an Estimator"),
        (None, f"{INSTEAD}, not None"),
        ("app:build", f"{INSTEAD}, not a str"),
        (Limit, f"{INSTEAD}; Limit needs arguments"),
        (Needing, f"{INSTEAD}; Needing needs arguments"),
        (lambda settings: CountingModel(), f"{INSTEAD}; <lambda> needs arguments"),
        (serve(CountingModel), f"{INSTEAD}; App needs arguments"),
        (later, "build must not be async"),
    ],
)
def test_what_is_no_build_function_is_refused_at_once(given: Any, words: str) -> None:
    with pytest.raises(CompositionError, match=words):
        serve(given)


@pytest.mark.parametrize(
    ("built", "words"),
    [
        (None, r"build\(\) returned None, which is not a predictor; return what is to be served"),
        ([], r"build\(\) returned no predictor to serve"),
        ({}, r"build\(\) returned no predictor to serve"),
        ((CountingModel(),), r"a tuple, which is not a predictor; return several in a list"),
        (CountingModel, r"the class CountingModel, which is not a predictor; return one that is made of it: Counting"),
        ([CountingModel(), Limit], "a list with the class Limit, which is not a predictor"),
        ({"a": CountingModel(), "b": 3}, "a dict with an int, which is not a predictor; return a predictor, a list"),
        (
            Estimator(),
            r"an Estimator, which is not a predictor; make a predictor of it with PythonModel\(predict=…, inputs=…",
        ),
        (lambda rows: rows, r"a function, which is not a predictor; make a predictor of it with PythonModel"),
        ([CountingModel("a"), CountingModel("a")], "two predictors with the same name"),
        ({"a b": CountingModel()}, "cannot be served as 'a b'"),
        ({1: CountingModel()}, "cannot be served as 1"),
        (Nameless("n"), "a Nameless, which has no metadata: give it a property `metadata`"),
        (Own("metadata"), "an Own, which has no metadata; derive it from BasePredictor"),
        (Own("health", "check"), "an Own, which has no health, check; derive it from"),
        (Wrapper(Nameless("n")), "'n' has as its part 'inner' a Nameless, which has no metadata"),
        (Wrapper(Own("stop"), name="w"), "'w' has as its part 'inner' an Own, which has no stop"),  # type: ignore[arg-type]
    ],
)
def test_what_build_returns_and_is_no_predictor_is_refused_at_start(built: Any, words: str) -> None:
    with pytest.raises(CompositionError, match=words):
        started(lambda: built)


def test_a_coroutine_that_build_returned_is_refused_at_start() -> None:
    with pytest.raises(CompositionError, match=r"build\(\) returned a coroutine"):
        started(lambda: later())


def test_an_app_that_build_returned_is_refused_at_start() -> None:
    with pytest.raises(CompositionError, match=r"build\(\) returned an App, which is not a predictor"):
        started(lambda: serve(CountingModel))


@pytest.mark.parametrize(
    "build", [lambda: CountingModel("a"), CountingModel, lambda: Late("a"), lambda: Wrapper(Late("a"))]
)
def test_a_predictor_is_served_that_has_no_metadata_yet(build: Any) -> None:
    started(build)


def test_a_list_is_served_each_under_its_name() -> None:
    async def main() -> Mapping[str, int]:
        async with client(serve(lambda: [CountingModel("a"), CountingModel("b")])) as http:
            body = {"data": [[1.0]]}
            paths = ("/models/a/predict", "/models/b/predict", "/predict")
            return {path: (await http.post(path, json=body)).status_code for path in paths}

    assert list(asyncio.run(main()).values()) == [200, 200, 404]


def test_an_error_of_build_itself_is_one_sentence_with_the_traceback_of_the_users_code_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def build() -> CountingModel:
        raise KeyError("weights")

    with pytest.raises(CompositionError, match=r"^build\(\) failed: KeyError: 'weights'; the log has its traceback$"):
        started(build)
    assert 'raise KeyError("weights")' in caplog.text
    assert "user_code.py" not in caplog.text  # the frames before it are ours


GIVEN = r"a piece wraps predictors, and {} is not one; {}"


@pytest.mark.parametrize(
    "around",
    [
        lambda part: Limit(part, max_concurrency=1),
        Batcher,
        Pipeline,
        lambda part: Shadow(part, candidate=CountingModel("candidate")),
        lambda part: Pipeline(CountingModel(), part),
        lambda part: Fallback(part, CountingModel()),
        lambda part: OutlierCheck(part, detector=CountingModel()),
        lambda part: SyncAsync(part, CountingModel("slow")),
        lambda part: SyncAsync(CountingModel(), part),
        lambda part: Shadow(CountingModel(), candidate=part),
    ],
)
@pytest.mark.parametrize(
    ("part", "named", "instead"),
    [
        (Estimator(), "an Estimator", r"make a predictor of it with PythonModel\(predict=…, inputs=…, outputs=…\)"),
        (lambda rows: rows, "a function", r"make a predictor of it with PythonModel"),
        ("model.onnx", "a str", r"make a predictor of a model's file or name with OnnxModel\(…\)"),
        ([CountingModel()], "a list", r"combine several with a FanOut or a Pipeline"),
        (CountingModel, "the class CountingModel", r"give an instance of it: CountingModel\(…\)"),
        (None, "None", ""),
    ],
)
def test_what_is_no_predictor_is_refused_by_the_piece_that_it_is_given_to(
    around: Any, part: Any, named: str, instead: str
) -> None:
    with pytest.raises(CompositionError, match=GIVEN.format(named, instead)):
        around(part)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"inputs": []}, "the metadata of 'p' must be a ModelMetadata, not a dict"),
        (None, "the metadata of 'p' must be a ModelMetadata, not None"),
        (property(lambda self: self.weights), "the metadata of 'p' failed: AttributeError: 'P' object has no"),
    ],
)
def test_metadata_that_is_none_is_refused_at_start(metadata: Any, words: str) -> None:
    model = type("P", (CountingModel,), {"metadata": metadata})
    with pytest.raises(CompositionError, match=words):
        started(lambda: model("p"))
