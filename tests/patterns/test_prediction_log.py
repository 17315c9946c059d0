"""prediction_log: its demo holds, its answers are the book's, and each claim fails where a log does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from mlpatterns import InferenceRequest, InferenceResponse, OutlierCheck, PredictionLog, Predictor, Row, Wrapper
from mlpatterns.cli import main
from mlpatterns.patterns.operations import prediction_log as pattern
from mlpatterns.pieces.prediction_log import feedback as log_feedback
from mlpatterns.stores.log import Feedback
from mlpatterns.testing import ServerProcess, client, logged, process

ONCE, FLAGS, TOLD, KILLED, UNWRITABLE = (
    "every request is recorded once, with what was asked and answered",
    "of the book's flowers, the one like no iris is an outlier",
    "a label that is told later joins its prediction; of another it is a 404",
    "kill -9 under load loses no more than the last second",
    "a log that cannot be written breaks no request",
)
ROW, ODD = [[5.1, 3.5, 1.4, 0.2]], [[1.0, 2.0, 3.0, 4.0]]


@pytest.fixture(autouse=True)
def home(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_LOG", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setattr(log_feedback, "PAUSE", 0.001)


class NoLog(Wrapper):
    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner)


class Twice(PredictionLog):
    """Records everything twice."""

    def _log(self, *ended: Any) -> None:
        super()._log(*ended)
        super()._log(*ended)


class Rounding(PredictionLog):
    """Answers other than it records."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        return replace(answer, outputs={name: value.round(1) if value.ndim == 2 else value
                                        for name, value in answer.outputs.items()})  # fmt: skip


class Forgetful(PredictionLog):
    """Thanks for feedback, and keeps none."""

    async def start(self, runtime: Any) -> None:
        await super().start(runtime)
        store: Any = self._queries._store

        async def add_feedback(feedback: list[Feedback]) -> None:
            """It goes nowhere."""

        if store is not None:
            store.add_feedback = add_feedback


class Gullible(PredictionLog):
    """Takes feedback on what was never predicted."""

    async def start(self, runtime: Any) -> None:
        await super().start(runtime)

        async def find(*_: Any) -> None:
            """Everything is there."""

        self._queries._find = find  # type: ignore[assignment, method-assign]


class Endless(PredictionLog):
    """Its queue has no end."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner, **{**options, "max_records": 10**9})


class Strict(PredictionLog):
    """Answers nothing that it cannot log, and once it cannot, tries no more."""

    failed = False

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        assert self._queue is not None
        self.failed = self.failed or not await self._queue.flush(2.0)
        if self.failed:
            raise TimeoutError
        return answer


class Turned(OutlierCheck):
    """Takes the usual for odd."""

    def _judged_rows(self, *found: Any) -> Any:
        judged = super()._judged_rows(*found)
        return {**judged, "is_outlier": ~judged["is_outlier"]}


async def held() -> Row:
    return Row(KILLED, "", "", True)


def failing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    async def ask() -> set[str]:
        async with client(pattern.app) as http:
            return {row.claim for row in (await pattern.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


@pytest.mark.slow  # a server process and a second and a half of load
def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "prediction_log"]) == 0
    out = capsys.readouterr().out
    assert out.count("holds  ") == 5
    assert all(claim in out for claim in (ONCE, FLAGS, TOLD, KILLED, UNWRITABLE))


@pytest.mark.parametrize(
    ("name", "broken", "claims"),
    [
        ("PredictionLog", NoLog, {ONCE, TOLD, UNWRITABLE}),
        ("PredictionLog", Twice, {ONCE, UNWRITABLE}),
        ("PredictionLog", Rounding, {ONCE}),
        ("PredictionLog", Forgetful, {TOLD}),
        ("PredictionLog", Gullible, {TOLD}),
        ("PredictionLog", Endless, {UNWRITABLE}),
        ("PredictionLog", Strict, {UNWRITABLE}),
        ("OutlierCheck", Turned, {FLAGS}),
    ],
)
def test_each_claim_fails_where_a_log_does_not_keep_it(
    name: str, broken: Any, claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pattern, name, broken)
    monkeypatch.setattr(pattern, "killed", held)
    if broken is NoLog:
        monkeypatch.setattr(pattern, "logged", nothing)
    assert failing(monkeypatch) == claims


async def nothing(*_: Any, **asked: Any) -> list[Any]:
    """What is in a log that nobody wrote, without a wait for what will never come."""
    return []


@pytest.mark.slow  # a server process
def test_a_log_that_writes_seldom_loses_more_than_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seldom = tmp_path / "seldom.py"
    seldom.write_text(
        "from mlpatterns.patterns.operations.prediction_log import app\n"
        "from mlpatterns.pieces.prediction_log import queue as log_queue\n"
        "log_queue.GATHER = 60\n"
    )

    @asynccontextmanager
    async def writing_seldom(_: str, **options: Any) -> AsyncIterator[ServerProcess]:
        async with process(seldom, **options) as server:
            yield server

    monkeypatch.setattr(pattern, "process", writing_seldom)
    row = asyncio.run(pattern.killed())
    assert row.claim == KILLED
    assert not row.holds


# ---- the book's routes ----


def run(work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with client(pattern.app) as http:
            await work(http)

    asyncio.run(main())


def test_one_row_is_answered_as_in_the_book_and_job_id_is_the_predictions() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        answer = await http.post("/predict", json={"data": ROW})
        found = answer.json()
        assert list(found) == ["job_id", "prediction", "is_outlier", "outlier_score"]
        assert found["job_id"] == answer.headers["x-mlp-prediction-id"]
        assert len(found["prediction"]) == 3
        assert sum(found["prediction"]) == pytest.approx(1)
        assert found["is_outlier"] is False
        assert found["outlier_score"] > 0
        tested = (await http.get("/predict/test")).json()
        assert {**tested, "job_id": ""} == {**found, "job_id": ""}
        for method, path in (("POST", "/predict/label"), ("GET", "/predict/test/label")):
            label = (await http.request(method, path, json={"data": ROW} if method == "POST" else None)).json()
            assert {**label, "job_id": ""} == {**found, "job_id": "", "prediction": "setosa"}

    run(work)


def test_several_rows_are_all_answered_and_each_is_judged() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        found = (await http.post("/predict/label", json={"data": ROW + ODD})).json()
        assert found["is_outlier"] == [False, True]
        assert found["outlier_score"][1] < 0 < found["outlier_score"][0]
        assert [type(label) for label in found["prediction"]] == [str, str]

    run(work)


def test_metadata_has_the_outlier_fields_beside_the_usual() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        found = (await http.get("/metadata")).json()
        assert (found["data_type"], found["data_structure"], found["data_sample"]) == (
            "float32", "(1,4)", [pytest.approx(ROW[0])],
        )  # fmt: skip
        assert (found["prediction_type"], found["prediction_structure"]) == ("float32", "(1,3)")
        assert (found["outlier_type"], found["outlier_structure"]) == ("bool, float32", "(1,2)")
        assert found["outlier_sample"] == [
            False,
            pytest.approx((await http.get("/predict/test")).json()["outlier_score"]),
        ]

    run(work)


def test_what_is_no_row_is_a_400_and_a_test_is_recorded_as_one() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        for data in ([[1.0]], [["wide", 1, 1, 1]], []):
            assert (await http.post("/predict", json={"data": data})).status_code == 400
        which = (await http.get("/predict/test")).json()["job_id"]
        (record,) = await logged(awaited=[which])
        assert (record.purpose, record.path, record.model) == (
            "test",
            "prediction_log/iris_sklearn_svc",
            "iris_sklearn_svc",
        )

    run(work)


def test_the_threshold_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_OUTLIER_LOWER_THRESHOLD", "1000")

    async def work(http: httpx.AsyncClient) -> None:
        assert (await http.post("/predict", json={"data": ROW})).json()["is_outlier"] is True

    run(work)


def test_the_flags_are_outputs_over_the_protocol_too() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        body = {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": ODD}]}
        found = (await http.post("/v2/models/iris_sklearn_svc/infer", json=body)).json()
        assert {each["name"]: each["datatype"] for each in found["outputs"]}.items() >= {
            "is_outlier": "BOOL", "outlier_score": "FP32",
        }.items()  # fmt: skip

    run(work)
