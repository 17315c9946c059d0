"""Answers that come later.

Jobs of a queue, and files and tables of rows.
"""

from __future__ import annotations

from pathlib import Path

from mlpatterns import BatchJob, JobQueue, SyncAsync
from mlpatterns.testing import CountingModel, batch_run, client, job_ended

NAMES = ("JobQueue", "SyncAsync", "BatchJob")


async def job_queue_example() -> None:
    async with client(JobQueue(CountingModel(), store="sqlite:///jobs.db")) as http:
        answer = await http.post("/predict", json={"data": [[1, 2]]})
        job = await job_ended(http, answer.json()["job_id"])
    assert answer.status_code == 202
    assert (job["status"], job["prediction"]) == ("done", [3])


async def sync_async_example() -> None:
    asked = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    both = SyncAsync(CountingModel("fast"), JobQueue(CountingModel("slow")))
    async with client(both) as http:
        answer = await http.post("/v2/models/sync_async/infer", json=asked)
        outputs = {each["name"]: each["data"] for each in answer.json()["outputs"]}
        job = await job_ended(http, outputs["job_id"][0])
    assert (outputs["probabilities"], job["prediction"]) == ([3], [3])


async def batch_job_example() -> None:
    Path("rows.csv").write_text("length,width\n1,2\n3,4\n")
    job = BatchJob(CountingModel(fields=["length", "width"]), source="rows.csv", sink="sums.csv")
    async with client(job) as http:
        run = await batch_run(http)
    assert run["status"] == "finished"
    assert "7" in Path("sums.csv").read_text()
