"""SyncAsync: the fast answer comes whatever the queue does, and no job without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mlpatterns import (
    CompositionError,
    InvalidInput,
    JobQueue,
    NotStarted,
    Predictor,
    Settings,
    SyncAsync,
    TensorSpec,
    running,
)
from mlpatterns.errors import ErrorCode, PredictionError, error_for
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client, job_ended, request, until_ready


def run(root: Predictor, work: Callable[[], Awaitable[None]], home: Path, *, programs: bool = True) -> None:
    async def main() -> None:
        async with running(root, settings=Settings(home=home)) as runtime:
            if programs:
                await runtime.run_programs([(root.name, root)])
                await runtime.wait_for_descriptions([(root.name, root)])
            await work()

    asyncio.run(main())


def test_the_answer_is_the_fast_ones_and_the_jobs_id(tmp_path: Path) -> None:
    fast, slow = CountingModel("fast", labels=("a",)), CountingModel("slow")
    root = SyncAsync(fast, JobQueue(slow))

    async def work() -> None:
        answer = await root.predict(request([[1.0, 2.0]]))
        assert list(answer.outputs) == ["probabilities", "job_id"]
        assert answer.outputs["probabilities"].tolist() == [[3.0]]
        assert answer.outputs["job_id"].item().startswith(b"test-")
        assert (answer.status, answer.degraded, answer.identity) == ("done", False, None)
        assert (answer.model_name, root.metadata.name) == ("sync_async", "sync_async")
        assert root.metadata.labels == ("a",)
        assert root.metadata.primary_output == "probabilities"
        alone = await root.predict(request([[1.0]], outputs=("probabilities",)))
        assert list(alone.outputs) == ["probabilities"]
        with pytest.raises(InvalidInput):
            await root.predict(request([[1.0]], outputs=("job_id",)))

    run(root, work, tmp_path)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_error_of_the_fast_one_passes_with_its_code_and_makes_no_job(code: ErrorCode, tmp_path: Path) -> None:
    queue = JobQueue(CountingModel("slow"))
    root = SyncAsync(FlakyModel(error=error_for(code, "these are the words", retry_after=7.0)), queue)

    async def work() -> None:
        with pytest.raises(PredictionError) as caught:
            await root.predict(request([[1.0]]))
        assert (caught.value.code, caught.value.retry_after) == (code, 7.0)
        assert "these are the words" in str(caught.value)
        assert (await queue._jobs.figures(queue._queue)).queued == 0

    run(root, work, tmp_path)


def test_what_the_queue_does_not_take_degrades_the_answer_and_is_counted(tmp_path: Path) -> None:
    for slow in (JobQueue(CountingModel("slow")), CountingModel("slow"), FlakyModel("slow"),
                 FlakyModel("slow", error=ValueError("odd"))):  # fmt: skip
        root = SyncAsync(CountingModel("fast"), slow)

        async def work(root: Predictor = root) -> None:
            answer = await root.predict(request([[1.0]]))
            assert answer.degraded
            assert answer.outputs["job_id"].tolist() == [b""]
            assert root.health().ready

        run(root, work, tmp_path, programs=False)


def test_a_cancelled_caller_leaves_nothing_running_and_no_job(tmp_path: Path) -> None:
    fast, queue = SlowModel("fast", seconds=60), JobQueue(CountingModel("slow"))
    root = SyncAsync(fast, queue)

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        while not fast.running:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (fast.running, fast.cancelled) == (0, 1)
        assert (await queue._jobs.figures(queue._queue)).queued == 0

    run(root, work, tmp_path)


def test_the_health_of_each_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        root = SyncAsync(CountingModel("fast"), JobQueue(CountingModel("slow")))
        async with client(root, settings=Settings(home=tmp_path)) as http:
            await until_ready(http, "/health/all", {"fast": "ok", "slow": "ok"})
            answer = (await http.post("/predict", json={"data": [[1.0]]})).json()
            assert answer == {"prediction": [1.0]}
        root = SyncAsync(CountingModel("fast"), JobQueue(CountingModel("slow")))
        async with client(root, settings=Settings(home=tmp_path / "new", programs="off")) as http:
            assert (await http.get("/health/all")).json() == {"fast": "ok", "slow": "ng"}
            assert (await http.get("/health/ready")).status_code == 200

    asyncio.run(work())


def test_over_the_open_inference_protocol_the_job_id_is_an_output(tmp_path: Path) -> None:
    async def work() -> None:
        root = SyncAsync(CountingModel("fast"), JobQueue(CountingModel("slow")))
        async with client(root, settings=Settings(home=tmp_path)) as http:
            await until_ready(http, "/health/all", {"fast": "ok", "slow": "ok"})
            body = {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [2]}]}
            outputs = (await http.post("/v2/models/sync_async/infer", json=body)).json()["outputs"]
            assert [output["name"] for output in outputs] == ["probabilities", "job_id"]
            assert (await job_ended(http, outputs[1]["data"][0]))["prediction"] == [2.0]

    asyncio.run(work())


def test_two_parts_of_one_name_are_refused() -> None:
    with pytest.raises(CompositionError, match="both called 'model'"):
        SyncAsync(CountingModel("model"), JobQueue(CountingModel("model")))


def test_a_fast_one_with_an_output_of_that_name_is_not_ready(tmp_path: Path) -> None:
    class Named(CountingModel):
        def __init__(self) -> None:
            super().__init__("fast")
            from msgspec.structs import replace

            self._described = replace(self._described, outputs=(TensorSpec("job_id", "FP32", (-1, 1)),))

    root = SyncAsync(Named(), JobQueue(CountingModel("slow")))

    async def work() -> None:
        with pytest.raises(NotStarted):
            _ = root.metadata
        assert "has an output job_id itself" in root.health().reason

    run(root, work, tmp_path, programs=False)
