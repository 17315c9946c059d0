"""shadow_ab: its demo holds on the real models, and each claim fails where a shadow does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns import InferenceRequest, InferenceResponse, Predictor, Shadow, Wrapper
from mlpatterns.cli import main
from mlpatterns.patterns.management import shadow_ab
from mlpatterns.pieces.shadow.mirror import MirroredRequest, MirrorOutcome
from mlpatterns.predictor import Runtime
from mlpatterns.stores import open_store
from mlpatterns.stores.log import LogQuery, LogStore
from mlpatterns.testing import client, until

JOB, FLOWERS, *BESIDE = (
    "the path's job_id is in the answer, our own id in the log, and both in the report",
    "the report finds the flowers that the two tell apart",
    *[f"a candidate that is {name} costs no caller an answer, and none waits for it"
      for name in ("slow", "failing", "absent at start")],
)  # fmt: skip
SLOW, FAILING, ABSENT = BESIDE


@pytest.fixture(autouse=True)
def home(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_CONTROL", "memory://")
    monkeypatch.setenv("MLPATTERNS_LOG", f"sqlite:///{tmp_path}/log.db")
    for name, value in (("ASKED", 20), ("SLOW", 0.05), ("PATIENCE", 1.0)):
        monkeypatch.setattr(shadow_ab, name, value)


class Alone(Wrapper):
    """No shadow at all."""

    def __init__(self, primary: Predictor, candidate: Predictor, **options: Any) -> None:
        super().__init__(primary)


class Waiting(Shadow):
    """The caller waits for the candidate too."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        mirror = self._mirror
        while mirror is not None and mirror.counts.waiting:
            await asyncio.sleep(0.001)
        return answer


class Fragile(Shadow):
    """A failure of the candidate is the caller's."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if self._bound:
            await self.candidate.predict(request)
        return await super().predict(request)


class Together(Shadow):
    """The candidate starts with the rest."""

    apart = ()


class Forgetful(Shadow):
    """What is dropped is not counted."""

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        mirror = self._mirror
        assert mirror is not None
        put, dropped = mirror.put, mirror._ends["dropped"]

        def forget(mirrored: MirroredRequest) -> bool:
            before = dropped.value
            taken = put(mirrored)
            dropped.set(before)
            return taken

        mirror.put = forget  # type: ignore[method-assign]


class Nameless(Shadow):
    """The caller's id is lost on the way."""

    def _ended(self, end: MirrorOutcome) -> None:
        end.mirrored.request.context.caller_id = None
        super()._ended(end)


class Agreeable(Shadow):
    """Nothing differs."""

    def _ended(self, end: MirrorOutcome) -> None:
        assert end.found is not None
        super()._ended(replace(end, found=replace(end.found, differ=0, flips={})))


def failing(shadow: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(shadow_ab, "Shadow", shadow)

    async def ask() -> set[str]:
        async with client(shadow_ab.app) as http:
            return {row.claim for row in (await shadow_ab.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "shadow_ab"]) == 0
    out = capsys.readouterr().out
    assert all(claim in out for claim in (JOB, FLOWERS, *BESIDE))
    assert out.count("p50") == 6


def test_without_a_shadow_the_command_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_ab, "Shadow", Alone)
    assert main(["demo", "shadow_ab"]) == 1


@pytest.mark.parametrize(
    ("shadow", "claims"),
    [
        (Alone, {JOB, FLOWERS, *BESIDE}),
        (Waiting, {SLOW}),
        (Fragile, {SLOW, FAILING, ABSENT}),
        (Together, {ABSENT}),
        (Forgetful, {ABSENT}),
        (Nameless, {JOB, FLOWERS}),
        (Agreeable, {FLOWERS}),
    ],
)
def test_each_claim_fails_where_a_shadow_does_not_keep_it(
    shadow: Callable[..., Predictor], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(shadow, monkeypatch) == claims


def test_the_books_routes_answer_with_the_job_id_and_both_records_and_the_report_have_it(tmp_path: Path) -> None:
    row, rows = [[5.1, 3.5, 1.4, 0.2]], {"data": [[5.1, 3.5, 1.4, 0.2]]}
    svc = pytest.approx([0.9679248332977295, 0.02890644036233425, 0.0031687209848314524], abs=1e-5)

    async def work() -> None:
        async with client(shadow_ab.app) as http:

            async def started() -> bool:
                return bool((await http.get("/shadow/figures")).json()["ready"])

            assert await until(started)
            assert (await http.get("/predict-test/000000")).json() == {"job_id": "000000", "prediction": svc}
            label = {"job_id": "000000", "prediction": "setosa"}
            assert (await http.get("/predict-test-label/000000")).json() == label
            assert (await http.post("/predict/000000", json=rows)).json() == {"job_id": "000000", "prediction": svc}
            assert (await http.post("/predict-label/000000", json=rows)).json() == label
            assert (await http.post("/predict/label", json={"data": row})).json() == {"prediction": "setosa"}
            assert (await http.post("/predict", json=rows)).json() == {"prediction": svc}
            assert (await http.get("/predict/test")).json() == {"prediction": svc}
            assert (await http.get("/health")).json() == {"health": "ok"}
            assert (await http.get("/label")).json() == {"0": "setosa", "1": "versicolor", "2": "virginica"}
            assert (await http.get("/predict/000000")).status_code == 405
            assert (await http.post("/predict/000000", json={"data": [["x"]]})).status_code == 400
            assert "/predict/{job_id}" in (await http.get("/openapi.json")).json()["paths"]

            async def report() -> Any:
                found = (await http.get("/shadow", params={"caller_id": "000000"})).json()
                return found if found["compared"] == 4 else None

            found = await until(report)
            assert [one["caller_id"] for one in found["examples"]] == ["000000"] * 4
            assert (await http.get("/shadow")).json()["compared"] == 4  # the requests, with an id and without
        store = await open_store(LogStore, f"sqlite:///{tmp_path}/log.db")  # type: ignore[type-abstract]
        records = (await store.read(LogQuery())).records
        await store.close()
        kept = [(record.role, record.model) for record in records if record.caller_id == "000000"]
        assert sorted(kept) == [("primary", shadow_ab.SVC)] * 4 + [("shadow", shadow_ab.RF)] * 4

    asyncio.run(work())
