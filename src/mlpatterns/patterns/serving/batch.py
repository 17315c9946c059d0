"""Batch

Need: Predict every row of a table, on a schedule
Group: serving
Book: chapter4_serving_patterns/batch_pattern
Mercari: Batch
Japanese: バッチ推論パターン
When: predictions are read later, many at a time, and no client waits for one
When not: an answer is needed at once, or most rows are never looked at

Diagram:
    table of items ── rows without a prediction ──▶ model ──▶ the same rows, each once
          │                                                   rows it refuses ─▶ items_errors
          └── /data/all  /data/predicted  /data/unpredicted

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns run batch
    curl 'http://127.0.0.1:8000/data/predicted?limit=3'
    MLPATTERNS_BATCH=postgresql://ann@db/shop mlpatterns work batch
    mlpatterns batch run --model iris_sklearn_svc in.csv out.csv
    mlpatterns demo batch
"""

from __future__ import annotations

import asyncio
import os
import signal
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpatterns import BatchJob, Evidence, ModelMetadata, Predictor, Row, chosen_model, load_settings, serve
from mlpatterns.testing import batch_items, batch_run, client, process

if TYPE_CHECKING:
    import httpx

ROWS, MORE, MANY = 1000, 50, 100_000
TARGET, TOKEN, COMMAND = "batch", "demo", {"authorization": "Bearer demo"}


def flowers(described: ModelMetadata) -> list[Any]:
    """The first rows of a new table: distinct rows around the model's sample."""
    sample = next(iter((described.sample or {}).values()))[0]
    shares = np.random.default_rng(0).uniform(0.5, 1.5, (2 * ROWS, *sample.shape))
    return list({row.tobytes(): row.tolist() for row in np.round(sample * shares, 2)}.values())[:ROWS]


def build() -> Predictor:
    """The setting `batch` names the table; its rows are predicted at startup, and then every hour."""
    return BatchJob(chosen_model("iris_sklearn_svc"), cron="0 * * * *", rows=flowers, name="batch")


app = serve(build)


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Fills its own tables, predicts their rows, adds rows, and kills a run."""
    with TemporaryDirectory() as folder:
        return Evidence("batch", (*await in_order(folder), await two_at_once(folder), await killed(folder)))


def options(folder: str, name: str) -> dict[str, Any]:
    places = {"batch": f"sqlite:///{folder}/{name}.db", "control": f"sqlite:///{folder}/{name}-control.db"}
    return {**places, "admin_token": TOKEN, "lease_seconds": 1.0}


def server(folder: str, name: str, **more: Any) -> Any:
    return client(build, settings=load_settings({**options(folder, name), **more}).settings)


async def in_order(folder: str) -> list[Row]:
    """A first run, then new rows, then a second run."""
    async with server(folder, "items") as http:
        first, rows = await batch_run(http), await batch_items(http, "all")
        asked = await http.post("/predict", json={"data": [row["values"] for row in rows]})
        equal = sum(row["prediction"] == answer for row, answer in zip(rows, asked.json()["prediction"], strict=True))
        added = {"values": [*[row["values"] for row in rows[:MORE]], [1.0, 2.0]]}
        await http.post("/data/add", json=added, headers=COMMAND)
        waiting = len(await batch_items(http, "unpredicted"))
        await http.post("/batch/run", json={}, headers=COMMAND)
        second, left = await batch_run(http, after=first["run_id"]), await batch_items(http, "unpredicted")
    varied = len({str(row["prediction"]) for row in rows}) > ROWS // 2  # else a constant answer would pass
    return [
        Row("a prediction in the table is what the model answers", f"{ROWS} equal", f"{equal} equal",
            equal == len(rows) == ROWS and varied),
        Row("a second run predicts the rows that were added, and no others", f"{MORE} of {ROWS + MORE + 1}",
            f"{second['rows']} of {len(rows) + waiting}", second["rows"] == MORE and waiting == MORE + 1),
        Row("a row that the model refuses is told, and the rest goes on", "1 failed, 1 left",
            f"{second['failed']} failed, {len(left)} left", second["failed"] == 1 and len(left) == 1),
    ]  # fmt: skip


async def two_at_once(folder: str) -> Row:
    """Two servers start on the same table, which does not exist yet."""
    async with server(folder, "twins") as one, server(folder, "twins") as other:
        run = (await asyncio.gather(batch_run(one), batch_run(other)))[0]
        there = len(await batch_items(other, "predicted"))
    return Row("two servers make the table once and predict it once", f"{ROWS} rows, {ROWS} predicted",
               f"{there} rows, {run['rows']} predicted", there == run["rows"] == ROWS)  # fmt: skip


async def killed(folder: str) -> Row:
    """A process is killed during a long run, and another continues the run."""
    async with server(folder, "long", programs="off") as http:
        values = {"values": [row["values"] for row in await batch_items(http)] * 10}
        for _ in range(MANY // 10 // ROWS):
            await http.post("/data/add", json=values, headers=COMMAND)
    environ = {f"MLPATTERNS_{name.upper()}": str(value) for name, value in options(folder, "long").items()}
    async with process(TARGET, environ=environ) as first:
        run = await batch_run(first.http, status="running")
        os.kill(first.pid, signal.SIGKILL)
    async with process(TARGET, environ=environ) as second:
        done, left = await batch_run(second.http), len(await batch_items(second.http, "unpredicted"))
    claim, total = "a run that is killed goes on: each row once, none left out", MANY + ROWS
    whole = done["rows"] == total and left == 0 and done["run_id"] == run["run_id"] and run["status"] == "running"
    return Row(claim, f"{total} rows, 0 left", f"{done['rows']} rows, {left} left", whole)
