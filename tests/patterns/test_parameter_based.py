"""parameter_based: its demo holds on the real models, and each claim fails where the piece does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mlpatterns import InferenceRequest, InferenceResponse, Runtime, Thresholds
from mlpatterns.catalog import require
from mlpatterns.cli import main
from mlpatterns.interfaces import Document
from mlpatterns.launch.target import app_of
from mlpatterns.patterns.management import parameter_based
from mlpatterns.pieces.thresholds.parameters import Parameters, StoredParameters
from mlpatterns.settings import RESET
from mlpatterns.testing import client

BOOK, CHANGES, STOPS, OUTLIVES, RESETS = (
    "the book's two answers",
    "a command changes thresholds and parts",
    "it stops all; a wrong one and anyone's are refused",
    "it outlives a restart, which says what starts otherwise",
    "run --reset-shared goes back to the start values",
)
SAMPLE = {"data": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_CONTROL", "memory://")


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's servers in this process, where a broken piece can be put into them: processes cost seconds."""

    @asynccontextmanager
    async def running(environ: Mapping[str, str], *flags: str) -> AsyncIterator[Any]:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in {**environ, "MLPATTERNS_ADMIN_TOKEN": parameter_based.TOKEN}.items():
                patched.setenv(name, value)
            if "--reset-shared" in flags:
                patched.setenv(RESET, "a run")
            async with client(parameter_based.app) as http:
                yield http

    monkeypatch.setattr(parameter_based, "running", running)


def test_parameters_that_a_command_set_in_this_home_do_not_reach_the_demo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLPATTERNS_CONTROL")
    monkeypatch.setenv("MLPATTERNS_ADMIN_TOKEN", parameter_based.TOKEN)

    async def set_parameters() -> int:
        async with client(app_of(require("parameter_based", "app"))) as http:  # as `run parameter_based` serves it
            return await parameter_based.set_parameters(
                http, {"thresholds": {"setosa": 0.999}, "active": {"virginica": True}}
            )

    async def nothing(_: Mapping[str, str]) -> tuple[()]:
        return ()

    assert asyncio.run(set_parameters()) == 200
    monkeypatch.setattr(parameter_based, "changed", nothing)
    assert main(["demo", "parameter_based"]) == 0, capsys.readouterr().out


class Fixed(Thresholds):
    """Answers by what it started with, whatever commands say."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        self.parameters.now = lambda: self.parameters._begun  # type: ignore[method-assign]
        return await super().predict(request)


class Even(Thresholds):
    """Has one threshold for all parts."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        answer.outputs["decisions"][answer.outputs["decisions"] == 0] = 1
        return answer


class Credulous(Thresholds):
    """Does what it is told, whatever that is."""

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        self.parameters.parts = type("All", (tuple,), {"__contains__": lambda *_: True})(self.parameters.parts)


class Silent(Thresholds):
    """Does not say that it started otherwise."""

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        self.parameters.warnings = []


class Stubborn(Thresholds):
    """Reads what commands have set from the document's history, which no reset empties."""

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        old: list[Document[StoredParameters]] = [
            each for each in await self.parameters._started.history() if each.value.values
        ]
        if old:
            values = old[0].value.values
            assert isinstance(values, Parameters)
            self.parameters.now = lambda: values  # type: ignore[method-assign]


def failing(piece: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(parameter_based, "Thresholds", piece)

    async def ask() -> set[str]:
        async with client(parameter_based.app) as http:
            return {row.claim for row in (await parameter_based.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


@pytest.mark.slow  # the demo starts three servers
def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "parameter_based"]) == 0
    out = capsys.readouterr().out
    assert all(f"holds    {claim}" in out for claim in (BOOK, CHANGES, STOPS, OUTLIVES, RESETS))


def test_with_fixed_parameters_the_command_exits_1(inside: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameter_based, "Thresholds", Fixed)
    assert main(["demo", "parameter_based"]) == 1


@pytest.mark.parametrize(
    ("piece", "claims"),
    [
        (Thresholds, set()),
        (Fixed, {CHANGES, STOPS, OUTLIVES}),
        (Even, {BOOK, CHANGES, OUTLIVES, RESETS}),
        (Credulous, {STOPS}),
        (Silent, {OUTLIVES}),
        (Stubborn, {RESETS}),
    ],
)
def test_each_claim_fails_where_the_piece_does_not_keep_it(
    inside: None, piece: Callable[..., Any], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(piece, monkeypatch) == claims


def test_the_books_routes_answer_as_in_the_book() -> None:
    async def work() -> None:
        async with client(parameter_based.app) as http:
            both = {"setosa": 1, "versicolor": 0}
            assert (await http.get("/health")).json() == {"health": "ok"}
            assert (await http.get("/health/all")).json() == dict.fromkeys(parameter_based.PARTS, "ok")
            assert (await http.get("/predict/get/test")).json() == both
            assert (await http.get("/predict/post/test")).json() == both
            assert (await http.post("/predict", json=SAMPLE)).json() == both
            far = {"data": [[50.0, 30.1, 111.4, 110.2]]}
            assert (await http.post("/predict", json=far)).json() == {"setosa": 0, "versicolor": 0}
            assert (await http.post("/predict", json={"data": SAMPLE["data"] * 2})).json() == {
                "setosa": [1, 1], "versicolor": [0, 0]
            }  # fmt: skip
            metadata = (await http.get("/metadata")).json()
            assert (metadata["data_structure"], metadata["prediction_structure"]) == ("(1,4)", "(1,2)")
            assert metadata["prediction_sample"]["service_setosa"] == [0.97, 0.03]
            for path in ("/label", "/predict/test/label"):  # there are none in the book
                assert (await http.get(path)).status_code in (400, 404)
            assert (await http.post("/predict", json={"data": [["a"] * 4]})).status_code == 400

    asyncio.run(work())


@pytest.mark.parametrize(
    ("environ", "answer"),
    [
        ({}, {"setosa": 1, "versicolor": 0}),
        ({"MLPATTERNS_THRESHOLD_SETOSA": "1"}, {"setosa": 0, "versicolor": 0}),
        ({"MLPATTERNS_ACTIVATE_VIRGINICA": "1"}, {"setosa": 1, "versicolor": 0, "virginica": 0}),
        ({"MLPATTERNS_ACTIVATE_SETOSA": "0"}, {"versicolor": 0}),
        (dict.fromkeys(("MLPATTERNS_ACTIVATE_SETOSA", "MLPATTERNS_ACTIVATE_VERSICOLOR"), "0"), {}),
        ({"MLPATTERNS_THRESHOLD_VERSICOLOR": "0"}, {"setosa": 1, "versicolor": 1}),
    ],
)
def test_the_environment_says_how_it_starts(
    environ: dict[str, str], answer: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    async def work() -> None:
        async with client(parameter_based.app) as http:
            assert (await http.post("/predict", json=SAMPLE)).json() == answer

    asyncio.run(work())


def test_a_wrong_environment_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPATTERNS_THRESHOLD_SETOSA", "high")
    assert main(["run", "parameter_based"]) == 2
    assert "MLPATTERNS_THRESHOLD of 'setosa' must be a number from 0 to 1, not 'high'" in capsys.readouterr().err
