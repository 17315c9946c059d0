"""batch: its demo holds on the real model, each claim fails where a BatchJob does not keep it, and the routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import BatchJob, ModelMetadata, Predictor, Row, Runtime, TensorSpec, load_settings
from mlpatterns.cli import main
from mlpatterns.patterns.serving import batch
from mlpatterns.programs.batch_job import BatchStores
from mlpatterns.stores.batch import BatchRun, Page, Results
from mlpatterns.testing import batch_items, batch_run, client
from services import database

EQUAL, ADDED, REFUSED, TWICE, KILLED = (
    "a prediction in the table is what the model answers",
    "a second run predicts the rows that were added, and no others",
    "a row that the model refuses is told, and the rest goes on",
    "two servers make the table once and predict it once",
    "a run that is killed goes on: each row once, none left out",
)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))


class Around:
    """A store whose one method is another."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Rounding(Around):
    """A sink that keeps two digits."""

    async def write(self, run: BatchRun, results: Results) -> Any:
        cells = [str([round(value, 2) for value in eval(text)]) for text in results.columns["prediction"]]
        return await self.inner.write(run, replace(results, columns={"prediction": cells}))


class Again(Around):
    """A source that gives the rows that have a prediction too."""

    async def read(self, columns: Any, after: Any, limit: int, where: Any) -> Page | None:
        page: Page | None = await self.inner.read(columns, after, limit, ())
        return page

    async def count(self, after: Any, where: Any) -> Any:
        return await self.inner.count(after, ())


class Silent(Around):
    """A sink that loses the rows that failed."""

    async def write(self, run: BatchRun, results: Results) -> Any:
        return await self.inner.write(replace(run, failed=0), replace(results, failures=()))


class Broken(BatchJob):
    source_kind: type[Around] | None = None
    sink_kind: type[Around] | None = None

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        places = self._program.places
        self._program.places = BatchStores(
            self.source_kind(places.source) if self.source_kind else places.source,
            self.sink_kind(places.sink) if self.sink_kind else places.sink,
        )


class RoundsPredictions(Broken):
    sink_kind = Rounding


class PredictsAgain(Broken):
    source_kind = Again


class LosesFailures(Broken):
    sink_kind = Silent


class Doubles(BatchJob):
    """Fills the table whether it is there or not."""

    async def _fill(self) -> None:
        assert self.rows is not None
        rows = self.rows(self.inner.metadata)
        if not await self._table.fill(rows):
            await self._table.add(rows)


def failing(job: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch, work: Any) -> set[str]:
    monkeypatch.setattr(batch, "BatchJob", job)
    found: list[Row] | Row = asyncio.run(work)
    return {row.claim for row in (found if isinstance(found, list) else [found]) if not row.holds}


@pytest.mark.slow  # three processes of a server are started, and 100,000 rows predicted
def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "batch"]) == 0
    out = capsys.readouterr().out
    assert out.count("holds  ") == 5
    assert all(claim in out for claim in (EQUAL, ADDED, REFUSED, TWICE, KILLED))


@pytest.mark.parametrize(
    ("job", "claims"),
    [(BatchJob, set()), (RoundsPredictions, {EQUAL}), (PredictsAgain, {ADDED}), (LosesFailures, {REFUSED})],
)
def test_each_claim_of_two_runs_fails_where_a_job_does_not_keep_it(
    job: Any, claims: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert failing(job, monkeypatch, batch.in_order(str(tmp_path))) == claims


@pytest.mark.parametrize(("job", "claims"), [(BatchJob, set()), (Doubles, {TWICE})])
def test_the_claim_of_two_servers_fails_where_both_fill_the_table(
    job: Any, claims: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert failing(job, monkeypatch, batch.two_at_once(str(tmp_path))) == claims


FORGETFUL = """
from mlpatterns import serve
from mlpatterns.patterns.serving import batch
from mlpatterns.programs import batch_run

next_run = batch_run.next_run
batch_run.next_run = lambda before, *rest: next_run(None, *rest)
app = serve(batch.build)
"""


@pytest.mark.slow  # two processes of a server are started
def test_the_claim_of_a_killed_run_fails_where_a_run_forgets_how_far_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "forgetful.py"
    target.write_text(FORGETFUL)
    monkeypatch.setattr(batch, "TARGET", str(target))
    monkeypatch.setattr(batch, "batch_run", partial(batch_run, patience=4))
    assert failing(BatchJob, monkeypatch, batch.killed(str(tmp_path))) == {KILLED}


# ---- the book's routes -------------------------------------------------------------------------------------------


def served(tmp_path: Path, work: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]], **more: Any) -> None:
    async def run() -> None:
        values = {**batch.options(str(tmp_path), "items"), **more}
        async with client(batch.build, settings=load_settings(values).settings) as http:
            await work(http)

    asyncio.run(run())


def test_the_routes_of_the_book_give_bare_lists_of_rows(tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        assert (await http.get("/health")).json() == {"health": "ok"}
        await batch_run(http)
        answer = await http.get("/data/all")
        assert answer.headers["content-type"] == "application/json"
        rows = answer.json()
        assert len(rows) == 1000
        assert list(rows[0]) == ["id", "values", "prediction", "created_datetime", "updated_datetime"]
        assert [row["id"] for row in rows] == list(range(1, 1001))
        assert len({tuple(row["values"]) for row in rows}) == 1000
        assert all(len(row["values"]) == 4 and len(row["prediction"]) == 3 for row in rows)
        assert len(rows[0]["created_datetime"]) == len("2026-01-01T00:00:00")
        assert (await http.get("/data/predicted")).json() == rows
        assert (await http.get("/data/unpredicted")).json() == []
        page = await http.get("/data/all?limit=3&after=10")
        assert [row["id"] for row in page.json()] == [11, 12, 13]
        assert (await http.get("/data/all?limit=0")).json() == []

    served(tmp_path, work)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_the_table_may_be_in_a_database_server(kind: str, tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        first = await batch_run(http)
        rows = await batch_items(http, "predicted")
        assert first["rows"] == len(rows) == 1000
        asked = await http.post("/predict", json={"data": [row["values"] for row in rows]})
        assert [row["prediction"] for row in rows] == asked.json()["prediction"]
        assert all(len(row["updated_datetime"]) == len("2026-01-01T00:00:00") for row in rows)
        await http.post("/data/add", json={"values": [[1, 2, 3, 4], [1]]}, headers=batch.COMMAND)
        await http.post("/batch/run", json={}, headers=batch.COMMAND)
        second = await batch_run(http, after=first["run_id"])
        assert (second["rows"], second["failed"]) == (1, 1)
        assert len(await batch_items(http, "unpredicted")) == 1

    with database(kind, tmp_path) as url:
        served(tmp_path, work, batch=url)


@pytest.mark.parametrize("shape", [(4,), (1, 8, 8)])
def test_the_first_rows_are_distinct_and_of_the_shape_of_the_models_own(shape: tuple[int, ...]) -> None:
    spec = TensorSpec("input", "FP32", (-1, *shape))
    sample = {"input": np.ones((1, *shape))}
    rows = batch.flowers(ModelMetadata("any", "1", "any", (spec,), (spec,), "input", sample=sample))
    assert np.array(rows).shape == (1000, *shape)
    assert len({str(row) for row in rows}) == 1000


def test_rows_that_are_not_predicted_have_null(tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        rows = await batch_items(http, "unpredicted")
        assert len(rows) == 1000
        assert {row["prediction"] for row in rows} == {None}
        assert (await http.get("/batch")).json()["run"] is None

    served(tmp_path, work, programs="off")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/data/all?limit=x", "the request is not right"),
        ("/data/all?limit=-1", "the limit must not be negative"),
        ("/data/all?after=x", "expected an integer, got a string at after"),
        ("/data/all?after=9223372036854775808", "expected an integer <= 9223372036854775807 at after"),
        ("/data/predicted?after=-9999999999999999999999", "expected an integer >= -9223372036854775808 at after"),
        ("/batch/failures?limt=3", "object contains unknown field 'limt'"),
        ("/data/all?page=2", "the request is not right"),
        ("/data/all?after=1&after=2", "the parameter 'after' is given twice"),
        ("/batch/failures?limit=x", "the request is not right"),
    ],
)
def test_a_wrong_question_is_a_400_with_a_sentence(tmp_path: Path, path: str, sentence: str) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        await batch_items(http, "all")
        answer = await http.get(path)
        assert answer.status_code == 400
        assert sentence in answer.json()["error"]

    served(tmp_path, work, programs="off")


def test_commands_need_the_token_and_rows_within_bounds(tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        await batch_items(http, "all")
        for path, body in (("/data/add", {"values": [[1.0]]}), ("/batch/run", {})):
            assert (await http.post(path, json=body)).status_code in (401, 403)
        for values in ([], [[0.0]] * 10_001):
            answer = await http.post("/data/add", json={"values": values}, headers=batch.COMMAND)
            assert (answer.status_code, answer.json()) == (400, {"error": "add 1 to 10000 rows at once"})
        answer = await http.post("/batch/run", json={"again": True}, headers=batch.COMMAND)
        assert answer.status_code == 400

    served(tmp_path, work, programs="off")


def test_the_failures_of_a_run_can_be_read(tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> None:
        first = await batch_run(http)
        await http.post("/data/add", json={"values": [["a", 1, 1, 1], [1.0], [1, 2, 3, 4]]}, headers=batch.COMMAND)
        await http.post("/batch/run", json={}, headers=batch.COMMAND)
        await batch_run(http, after=first["run_id"])
        failures = (await http.get("/batch/failures")).json()
        assert [(each["key"], each["code"]) for each in failures] == [(1001, "INVALID"), (1002, "INVALID")]
        assert (await http.get("/batch/failures?limit=1")).json() == failures[:1]
        state = (await http.get("/batch")).json()
        assert state["run"]["failed"] == 2
        assert state["cron"] == "0 * * * *"

    served(tmp_path, work)
