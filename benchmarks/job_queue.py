"""What a queue takes: the rate of jobs, and the time of one on an idle queue.

*Claim.* Over SQLite, with every commit synced to the disk (WAL, `synchronous=FULL`), a job is queued, run and committed
within 6 ms at the median when nothing else is to be done; under load at least 5,000 a second are.

*Method.* This process queues as a server does, by the piece `JobQueue`, and does not load the model. One worker, a
process of its own, has a model of two numbers that takes microseconds. *Idle*: one job after another, from the call
until its answer is read, as `?wait=` does it. *Load*: 256 callers queue as fast as they can; the time is from the first
call until no job is left.

*Why it is fair.* Nothing is left out that a server has: validation, encoding, idempotency and bounds, leases, fence.
HTTP is left out: it is measured in `hot_path`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.records import Goal, Plan, Report, Table
from mlpatterns import JobQueue, PythonModel, Settings, TensorSpec, running
from mlpatterns.context import Context
from mlpatterns.ids import new_id
from mlpatterns.predictor import InferenceRequest
from mlpatterns.stores.jobs import JobStore

__all__ = ["run"]

CALLERS, JOBS, SINGLE = 256, 20_000, 300
IDLE_MS, RATE = 6.0, 5000
NAME, ROW = "adder", np.array([[1.0, 2.0]], np.float32)


def run(plan: Plan, folder: Path) -> Report:
    """Single jobs, then many, `plan.repeats` times."""
    idle, rates = asyncio.run(_measure(plan, folder))
    middle, rate = median(idle), median(rates)
    tail = quantiles(idle, n=100)[98]
    return Report(
        goals=(
            Goal("one job, from the call to its answer, idle p50", f"<= {IDLE_MS:.0f} ms", f"{middle:.1f} ms",
                 middle <= IDLE_MS),
            Goal("jobs queued, run and committed", f">= {RATE:,} a second", f"{rate:,.0f} a second", rate >= RATE),
        ),
        tables=(
            Table("a queue over SQLite, a server and one worker", ("", "median", "p99 or slowest"), (
                ("one job on an idle queue", f"{middle:.1f} ms", f"{tail:.1f} ms"),
                (f"{CALLERS} callers", f"{rate:,.0f} jobs/s", f"{min(rates):,.0f} jobs/s"),
            )),
        ),
        raw={"idle_ms": idle, "rates": rates},
    )  # fmt: skip


async def _measure(plan: Plan, folder: Path) -> tuple[list[float], list[float]]:
    settings, queue = Settings(home=folder), _queue()
    async with running(queue, settings=settings) as runtime, _worker(folder):
        store = await runtime.store(JobStore, settings.jobs_url)  # type: ignore[type-abstract]
        while not queue.health().ready:
            await asyncio.sleep(0.01)
        idle = [await _one(queue, store) for _ in range(SINGLE // 10 if plan.quick else SINGLE)]
        jobs = JOBS // 10 if plan.quick else JOBS
        rates = [jobs / await _many(queue, store, jobs) for _ in range(plan.repeats)]
    return idle, rates


async def _one(queue: JobQueue, store: JobStore) -> float:
    """Milliseconds."""
    began = perf_counter()
    response = await queue.predict(_request())
    job = await store.wait(NAME, response.outputs["job_id"].item().decode(), 10)
    assert job is not None
    assert job.state == "done"
    return (perf_counter() - began) * 1000


async def _many(queue: JobQueue, store: JobStore, jobs: int) -> float:
    """Seconds."""
    began = perf_counter()

    async def call() -> None:
        for _ in range(jobs // CALLERS):
            await queue.predict(_request())

    await asyncio.gather(*[call() for _ in range(CALLERS)])
    while (figures := await store.figures(NAME)).queued + figures.running:
        await asyncio.sleep(0.002)
    return perf_counter() - began


def _request() -> InferenceRequest:
    return InferenceRequest({"input": ROW}, Context(new_id()))


def _add(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"sum": inputs["input"].sum(axis=1, keepdims=True)}


def _queue() -> JobQueue:
    model = PythonModel(
        lambda: None, _add, inputs=[TensorSpec("input", "FP32", (-1, 2))], outputs=[TensorSpec("sum", "FP32", (-1, 1))],
        sample={"input": ROW}, run_on="loop", name="model",
    )  # fmt: skip
    return JobQueue(model, name=NAME, queue=NAME)


@asynccontextmanager
async def _worker(folder: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.job_queue", str(folder), env=os.environ, cwd=Path(__file__).parents[1]
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def _work(folder: Path) -> None:
    queue = _queue()
    async with running(named=(), settings=Settings(home=folder)) as runtime:
        await runtime.run_programs([(NAME, queue)])
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_work(Path(sys.argv[1])))
