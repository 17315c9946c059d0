"""prediction_monitoring: its demo holds, each claim fails where a monitor breaks it, and it answers as the book."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlpatterns import DriftThresholds, Evidence, Hysteresis, Monitor, Row
from mlpatterns.analysis import drift
from mlpatterns.patterns.operations import prediction_monitoring
from mlpatterns.testing import client, logged

QUIET, SUDDEN, SLOW, STUCK, BURST, TOLD = (
    "30 windows without drift raise no alert; the book's rule raises some",
    "a column that drifts at once is alerted of, and no other is",
    "a slow drift is alerted of before it is a standard deviation",
    "a stuck sensor is described",
    "a burst of outliers in windows 6 to 8 is alerted of then; the alert ends later",
    "a server's own requests raise it: the webhook hears it once, and /drift says it",
)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    for name in ("LOG", "MONITOR", "CONTROL"):
        monkeypatch.setenv(f"MLPATTERNS_{name}", f"sqlite:///{tmp_path}/{name}.db")


def evidence() -> Evidence:
    return asyncio.run(prediction_monitoring.demo(None))


def failing() -> set[str]:
    return {row.claim for row in evidence().rows if not row.holds}


@pytest.mark.slow  # a server starts, and its monitor needs three windows of half a second
def test_every_claim_holds() -> None:
    found = evidence()
    assert [row.claim for row in found.rows] == [QUIET, BURST, TOLD, SUDDEN, SLOW, STUCK]
    assert [row for row in found.rows if not row.holds] == []


def monitor(**options: Any) -> partial[Monitor]:
    return partial(Monitor, **options)


@pytest.mark.slow  # hundreds of windows
@pytest.mark.parametrize(
    ("replaced", "claims"),
    [
        (monitor(thresholds=DriftThresholds(psi=9.0, ks=1.1, outliers=1.1)), {SUDDEN, SLOW, STUCK, BURST}),
        (monitor(thresholds=DriftThresholds(alpha=1.0, psi=0.0, ks=0.0), hysteresis=Hysteresis(1, 1, 1)),
         {QUIET, SUDDEN, SLOW, STUCK, BURST}),
        (monitor(hysteresis=Hysteresis(2, 3, 99)), {BURST}),
        (monitor(outliers=None), {BURST}),
    ],
    ids=["blind", "jumpy", "never quiet", "without outliers"],
)  # fmt: skip
def test_each_claim_fails_where_a_monitor_does_not_keep_it(
    replaced: partial[Monitor], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_monitoring, "Monitor", replaced)
    monkeypatch.setattr(prediction_monitoring, "webhook", held)
    assert failing() == claims


async def held() -> Row:
    return Row(TOLD, "", "", True)


def test_a_broken_column_that_is_not_told_in_words_fails_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "what_broke", lambda field, column: "")
    for name in ("quiet", "burst", "webhook"):
        monkeypatch.setattr(prediction_monitoring, name, held)
    assert failing() == {STUCK}


@pytest.mark.slow  # it starts a server
@pytest.mark.parametrize("served", ["build(interval=900)", "build().inner"])
def test_a_server_that_does_not_watch_fails_its_claim(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        prediction_monitoring, "SERVED", prediction_monitoring.SERVED.replace("build(interval=0.5)", served)
    )
    monkeypatch.setattr(prediction_monitoring, "ASKED", 10)
    assert not asyncio.run(prediction_monitoring.webhook()).holds


# ---- the book's routes and answers ---------------------------------------------------------------------------------

BOTH = ["job_id", "prediction", "prediction_elapsed", "is_outlier", "outlier_score", "outlier_elapsed"]


def test_the_answers_are_the_books() -> None:
    async def work() -> None:
        async with client(prediction_monitoring.app) as http:
            answer = (await http.post("/predict", json={"data": [[1.0, 2.0, 3.0, 4.0]]})).json()
            assert list(answer) == BOTH
            assert len(answer["prediction"]) == 3
            assert (answer["is_outlier"], answer["outlier_score"] < 0) == (True, True)
            assert answer["prediction_elapsed"] > 0
            assert answer["outlier_elapsed"] > 0
            label = (await http.post("/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2]]})).json()
            assert list(label) == [*BOTH, "prediction_label"]
            assert (len(label["prediction"]), label["prediction_label"]) == (3, "setosa")
            several = (
                await http.post("/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2], [1.0, 2.0, 3.0, 4.0]]})
            ).json()
            assert (len(several["prediction"]), several["is_outlier"]) == (2, [False, True])
            assert len(several["prediction_label"]) == 2
            assert (await http.post("/predict", json={"data": [[1.0]]})).status_code == 400
            metadata = (await http.get("/metadata")).json()
            assert (metadata["outlier_type"], metadata["outlier_structure"]) == ("bool, float32", "(1,2)")
            assert metadata["outlier_sample"][0] is False
            assert (await http.get("/label")).json() == {"0": "setosa", "1": "versicolor", "2": "virginica"}
            assert (await http.get("/health")).json() == {"health": "ok"}

    asyncio.run(work())


def test_tests_answer_like_the_post_routes_and_are_logged_as_tests() -> None:
    async def work() -> None:
        async with client(prediction_monitoring.app) as http:
            tested = (await http.get("/predict/test")).json()
            labelled = (await http.get("/predict/test/label")).json()
            assert (list(tested), list(labelled)) == (BOTH, [*BOTH, "prediction_label"])
            ids = [tested["job_id"], labelled["job_id"]]
            found = {record.prediction_id: record.purpose for record in await logged(awaited=ids)}
            assert [found[which] for which in ids] == ["test", "test"]

    asyncio.run(work())


def test_the_windows_are_asked_for_with_a_query() -> None:
    async def work() -> None:
        async with client(prediction_monitoring.app) as http:
            assert (await http.get("/drift")).json() == {"windows": []}
            wrong = await http.get("/drift", params={"limit": "many"})
            assert (wrong.status_code, list(wrong.json())) == (400, ["error"])
            assert (await http.get("/drift", params={"limit": 0})).status_code == 400

    asyncio.run(work())
