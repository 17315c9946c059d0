"""What it costs a worker to look for changes of shared state.

*Claim.* A worker that asks the control store four times a second, as one that follows an alias does, spends at most 1 %
of a core on it, whatever the store.

*Method.* The CPU time of the process (not of the store's server) over polls of one small document that does not change,
with 20 ms between two polls, less that of the same pauses without polls. Pauses matter: what sleeps between two polls
finds its caches cold, and costs more than in a tight loop, which is shown beside it.

*Why it is fair.* Redis and PostgreSQL are on this machine, so nothing hides in a network; one that does not answer is
left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from benchmarks.records import Goal, Plan, Report, Table
from mlpatterns.errors import Unavailable
from mlpatterns.interfaces import ControlStore
from mlpatterns.stores import open_store
from mlpatterns.user_errors import MissingExtra

__all__ = ["run"]

KEY, VALUE = "benchmark/poll", {"version": 3, "weights": [0.5, 0.5]}
SCHEMA = "mlpatterns_benchmark"
PAUSE, PAUSED, TIGHT = 0.02, 100, 1000  # seconds between polls; polls with pauses and without, a repeat
A_SECOND, MOST = 4, 1.0  # polls, and percent of a core
REDIS = os.environ.get("MLPATTERNS_TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
POSTGRES = os.environ.get("MLPATTERNS_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")


def run(plan: Plan, folder: Path) -> Report:
    """Polls of each store, `plan.repeats` times."""
    polls = asyncio.run(_measure(plan, folder))
    rows, goals = [], []
    for name, found in polls.items():
        idle, tight = median(found["idle"]), median(found["tight"])
        share = A_SECOND * idle / 1e6 * 100
        rows.append((name, f"{idle:.0f} us", f"{tight:.0f} us", f"{share:.2f} %"))
        goals.append(Goal(f"following with {name}", f"<= {MOST} % of a core", f"{share:.2f} %", share <= MOST))
    columns = ("store", "CPU a poll, 20 ms apart", "in a tight loop", "of a core at 4 polls a second")
    return Report(
        goals=tuple(goals), tables=(Table("looking for changes", columns, tuple(rows)),), raw={"polls": polls}
    )


async def _measure(plan: Plan, folder: Path) -> dict[str, dict[str, list[float]]]:
    polls: dict[str, dict[str, list[float]]] = {}
    paused = PAUSED // 10 if plan.quick else PAUSED
    for name, url in {
        "memory": "memory://",
        "SQLite": f"sqlite:///{folder / 'control.db'}",
        "Redis": f"{REDIS}?prefix=mlpatterns-benchmark:",
        "PostgreSQL": f"{POSTGRES}?options=-csearch_path%3D{SCHEMA}",
    }.items():
        try:
            async with _opened(name, url) as store:
                polls[name] = {
                    "idle": [await _idle(store, paused) - await _idle(None, paused) for _ in range(plan.repeats)],
                    "tight": [await _tight(store) for _ in range(plan.repeats)],
                }
        except (Unavailable, MissingExtra):
            continue
    return polls


async def _idle(store: ControlStore | None, polls: int) -> float:
    """Microseconds of CPU a poll, pauses included; with None those of the pauses alone."""
    began = process_time()
    for _ in range(polls):
        if store is not None:
            await store.get_many([KEY])
        await asyncio.sleep(PAUSE)
    return (process_time() - began) / polls * 1e6


async def _tight(store: ControlStore) -> float:
    began = process_time()
    for _ in range(TIGHT):
        await store.get_many([KEY])
    return (process_time() - began) / TIGHT * 1e6


@asynccontextmanager
async def _opened(name: str, url: str) -> AsyncIterator[ControlStore]:
    """A store with the document; nothing of it is left afterwards."""
    async with _place(name):
        store: Any = await open_store(ControlStore, url)
        if name == "Redis":  # a run that was killed leaves it
            await store._redis.delete(f"mlpatterns-benchmark:{KEY}")
        try:
            await store.put(KEY, VALUE, expected=None, by="benchmark")
            yield store
        finally:
            if name == "Redis":
                await store._redis.delete(f"mlpatterns-benchmark:{KEY}")
            await store.close()


@asynccontextmanager
async def _place(name: str) -> AsyncIterator[None]:
    """Of PostgreSQL, a schema."""
    if name != "PostgreSQL":
        yield
        return
    import psycopg

    try:
        connection = await psycopg.AsyncConnection.connect(POSTGRES, autocommit=True)
    except psycopg.OperationalError as error:
        raise Unavailable(str(error)) from error
    async with connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")  # of a run that was killed
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        try:
            yield
        finally:
            await connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
