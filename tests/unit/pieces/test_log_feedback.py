"""Feedback: it joins a prediction, belongs to who asked for that, and a second word replaces the first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlpatterns import PredictionLog
from mlpatterns.errors import Unavailable
from mlpatterns.pieces.prediction_log import feedback as log_feedback
from mlpatterns.server.app import App, serve
from mlpatterns.settings import Settings
from mlpatterns.stores import open_store
from mlpatterns.stores.log import Feedback, LogStore
from mlpatterns.stores.log_memory import MemoryLog
from mlpatterns.testing import CountingModel, client

if TYPE_CHECKING:
    import httpx

ROW = {"data": [[1.0, 2.0]]}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feedback, "PAUSE", 0.001)


def app(log: str = "memory://", **settings: Any) -> App:
    return serve(
        lambda: PredictionLog(CountingModel(), sink=log), settings=Settings(control="memory://", **settings)
    )  # fmt: skip


def run(served: App, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with client(served) as http:
            await work(http)

    asyncio.run(main())


async def predicted(http: httpx.AsyncClient, key: str | None = None) -> str:
    answer = await http.post("/predict", json=ROW, headers={"x-api-key": key} if key else {})
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-mlp-prediction-id"])


def test_what_is_told_of_a_prediction_is_kept_and_told_anew_replaced() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        which = await predicted(http)
        for value in ("setosa", "virginica"):
            told = await http.post("/feedback", json={"prediction_id": which, "name": "label", "value": value})
            assert (told.status_code, told.json()) == (200, {"taken": 1})
        found = (await http.get(f"/feedback/{which}")).json()
        assert [(each["prediction_id"], each["name"], each["value"], each["by"]) for each in found] == [
            (which, "label", "virginica", None)
        ]
        assert 'mlpatterns_log_feedback_total{piece="counting"} 2' in (await http.get("/metrics")).text

    run(app(), work)


def test_several_are_told_at_once_all_or_nothing() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        first, second = await predicted(http), await predicted(http)
        good = [{"prediction_id": which, "name": "converted", "value": True} for which in (first, second)]
        bad = [*good, {"prediction_id": "unknown", "name": "converted", "value": True}]
        refused = await http.post("/feedback", json=bad)
        assert (refused.status_code, refused.json()) == (404, {"error": "there is no such prediction in this log"})
        assert (await http.get(f"/feedback/{first}")).json() == []
        assert (await http.post("/feedback", json=good)).json() == {"taken": 2}
        assert (await http.get(f"/feedback/{first}")).json()[0]["value"] is True

    run(app(), work)


def test_another_principals_prediction_is_not_there() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        which = await predicted(http, "key-a")
        body = {"prediction_id": which, "name": "label", "value": 1}
        for key, status in (("key-b", 404), ("key-a", 200), (None, 401), ("wrong", 401)):
            headers = {"x-api-key": key} if key else {}
            assert (await http.post("/feedback", json=body, headers=headers)).status_code == status
            assert (await http.get(f"/feedback/{which}", headers=headers)).status_code == status
        (found,) = (await http.get(f"/feedback/{which}", headers={"x-api-key": "key-a"})).json()
        assert found["by"] == "ann"

    run(app(api_keys={"ann": "key-a", "bob": "key-b"}), work)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"prediction_id": "x"},
        {"prediction_id": "x", "name": "label"},
        {"prediction_id": "", "name": "label", "value": 1},
        {"prediction_id": 7, "name": "label", "value": 1},
        {"prediction_id": "x", "name": "la bel", "value": 1},
        {"prediction_id": "x", "name": "n" * 65, "value": 1},
        {"prediction_id": "x", "name": "label", "value": None},
        {"prediction_id": "x", "name": "label", "value": [1]},
        {"prediction_id": "x", "name": "label", "value": "v" * 1001},
        {"prediction_id": "x", "name": "label", "value": 1, "more": 2},
        {"prediction_id": "x", "name": "label", "value": 2**80},
        "text",
    ],
)
def test_malformed_feedback_is_a_400_with_one_sentence(body: Any) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        answer = await http.post("/feedback", json=body)
        assert answer.status_code == 400, answer.text
        assert set(answer.json()) == {"error"}

    run(app(), work)


def test_too_much_at_once_is_a_413() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        answer = await http.post("/feedback", json=[{"prediction_id": "x", "name": "label", "value": 1}] * 1001)
        assert answer.status_code == 413
        assert answer.json() == {"error": "at most 1000 pieces of feedback can be sent at once, not 1001"}

    run(app(), work)


def test_a_log_that_is_only_written_to_takes_none_and_says_so(tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        which = await predicted(http)
        answer = await http.post("/feedback", json={"prediction_id": which, "name": "label", "value": 1})
        assert answer.status_code == 415
        assert "cannot be read" in answer.json()["error"]

    run(app((tmp_path / "log.jsonl").as_uri()), work)


def test_a_log_that_is_down_is_a_503_and_the_prediction_is_answered() -> None:
    async def work(http: httpx.AsyncClient) -> None:
        which = await predicted(http)
        answer = await http.post("/feedback", json={"prediction_id": which, "name": "label", "value": 1})
        assert answer.status_code == 503
        assert "/dev" not in answer.text

    run(app("sqlite:////dev/null/log.db"), work)


def test_while_the_log_takes_no_records_feedback_is_a_503_and_later_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feedback, "FLUSH_SECONDS", 0.05)
    write, full = MemoryLog.write, True

    async def writes(self: Any, records: Any) -> None:
        if full:
            raise Unavailable("the disk is full")
        await write(self, records)

    monkeypatch.setattr(MemoryLog, "write", writes)

    async def work(http: httpx.AsyncClient) -> None:
        nonlocal full
        which = await predicted(http)
        body = {"prediction_id": which, "name": "label", "value": 1}
        while not (await http.get("/log")).json()["trouble"]:
            await asyncio.sleep(0.01)
        for answer in (await http.post("/feedback", json=body), await http.get(f"/feedback/{which}")):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json() == {"error": "the log does not answer now; try again later"}
        assert (await http.get("/feedback/nobodys")).status_code == 404
        full = False
        while (await http.post("/feedback", json=body)).status_code != 200:
            await asyncio.sleep(0.01)

    run(app(), work)


def test_a_record_that_another_process_has_not_written_yet_is_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"

    async def work(http: httpx.AsyncClient) -> None:
        which = await predicted(http)
        async with client(app(url)) as other:
            body = {"prediction_id": which, "name": "label", "value": 1}
            telling = asyncio.create_task(other.post("/feedback", json=body))
            assert (await telling).status_code == 200
        store: Any = await open_store(LogStore, url)
        (told,) = (await store.read_feedback()).feedback
        assert isinstance(told, Feedback)
        await store.close()

    no_pause = log_feedback.PAUSE
    log_feedback.PAUSE = 0.25
    run(app(url), work)
    log_feedback.PAUSE = no_pause
