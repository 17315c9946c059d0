"""The worker by itself: what it claims ahead, what it does while its store is down, and when its claims are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import runtime_of
from mlpatterns.context import Context
from mlpatterns.errors import Unavailable
from mlpatterns.pieces.job_queue.job_queue import JobQueue
from mlpatterns.predictor import InferenceRequest
from mlpatterns.programs.job_worker import JobWorker
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.stores.jobs import Bounds, ClaimRequest, ClaimResult, Finish, Job, NewJob
from mlpatterns.stores.jobs_sqlite import SqliteJobs
from mlpatterns.tensors import encode_request
from mlpatterns.testing import CountingModel, SlowModel, request

WIDE = Bounds(10_000, 10**9)


def worker(model: Any, **options: Any) -> JobWorker:
    queue = JobQueue(model, queue="q", **options)
    return JobWorker(model, queue.options, None, "q")


def with_store(folder: Path, work: Callable[[AppRuntime, SqliteJobs], Any]) -> None:
    async def main() -> None:
        settings = Settings(home=folder, lease_seconds=60)
        async with running(settings=settings) as runtime:
            from mlpatterns.stores.jobs import JobStore

            store: Any = await runtime.store(JobStore, settings.jobs_url)
            await work(runtime, store)

    asyncio.run(main())


async def queued(store: SqliteJobs, *names: str, body: bytes | None = None) -> None:
    for name in names:
        asked: InferenceRequest = request([[1.0]])
        whole = InferenceRequest(asked.inputs, Context(name))
        await store.enqueue("q", NewJob(name, body or encode_request(whole), 60.0), WIDE)


async def ended(store: SqliteJobs, name: str) -> Job:
    job = await store.wait("q", name, 20)
    assert job is not None
    return job


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_a_slow_model_has_no_more_claimed_than_it_works_on(tmp_path: Path) -> None:
    """What one worker holds another cannot have."""
    model = SlowModel(seconds=0.3)

    async def work(runtime: AppRuntime, store: SqliteJobs) -> None:
        await queued(store, *[f"j{number}" for number in range(12)])
        running = asyncio.create_task(worker(model, concurrency=2).run(runtime_of(runtime)))
        await ended(store, "j3")
        assert (await store.figures("q")).running <= 4
        await stopped(running)

    with_store(tmp_path, work)


def test_what_another_version_has_queued_fails_with_a_sentence(tmp_path: Path) -> None:
    async def work(runtime: AppRuntime, store: SqliteJobs) -> None:
        await queued(store, "odd", body=b"no request")
        await queued(store, "good")
        running = asyncio.create_task(worker(CountingModel()).run(runtime_of(runtime)))
        odd = await ended(store, "odd")
        assert (odd.state, odd.code) == ("failed", "UNSUPPORTED")
        assert "another version" in odd.error
        assert (await ended(store, "good")).state == "done"
        await stopped(running)

    with_store(tmp_path, work)


def test_a_store_that_is_down_for_a_while_is_asked_again_and_results_are_kept_until_then(tmp_path: Path) -> None:
    async def work(runtime: AppRuntime, store: SqliteJobs) -> None:
        claim, real_finish = store.claim, store.finish
        refused = {"claim": 1, "finish": 2}

        async def shaky_claim(queue: str, wanted: ClaimRequest) -> ClaimResult:
            if refused["claim"]:
                refused["claim"] -= 1
                raise Unavailable("it is down")
            return await claim(queue, wanted)

        async def shaky_finish(queue: str, finish: Finish) -> bool:
            if refused["finish"]:
                refused["finish"] -= 1
                raise Unavailable("it is down")
            return await real_finish(queue, finish)

        store.claim, store.finish = shaky_claim, shaky_finish  # type: ignore[method-assign]
        model = CountingModel()
        await queued(store, "a")
        running = asyncio.create_task(worker(model).run(runtime_of(runtime)))
        assert (await ended(store, "a")).state == "done"
        assert (model.calls, refused) == (1, {"claim": 0, "finish": 0})
        await stopped(running)

    with_store(tmp_path, work)


def test_a_job_whose_claim_is_lost_ends_at_work_and_its_slot_is_free(tmp_path: Path) -> None:
    model = SlowModel(seconds=60)

    async def work(runtime: AppRuntime, store: SqliteJobs) -> None:
        await queued(store, "a")
        program = worker(model, concurrency=1, lease=0.6)
        running = asyncio.create_task(program.run(runtime_of(runtime)))
        while not model.running:
            await asyncio.sleep(0.005)
        await store.cancel("q", "a", 60)
        while model.running:
            await asyncio.sleep(0.005)
        model.seconds = 0.0
        await queued(store, "b")
        assert (await ended(store, "b")).state == "done"
        text = {labels["outcome"]: value for labels, value in outcomes(runtime)}
        assert text["fenced"] == 1
        await stopped(running)

    def outcomes(runtime: AppRuntime) -> list[tuple[dict[str, str], float]]:
        name, what = "mlpatterns_job_attempts_total", "Attempts of jobs by what became of them."
        return [
            ({"outcome": outcome}, runtime.metrics.counter(name, what, piece="piece", outcome=outcome).value)
            for outcome in ("done", "fenced")
        ]

    with_store(tmp_path, work)
