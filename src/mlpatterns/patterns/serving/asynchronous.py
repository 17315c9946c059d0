"""Asynchronous

Need: Accept a slow prediction at once and give its answer later
Group: serving
Book: chapter4_serving_patterns/asynchronous_pattern
Mercari: Asynchronous
Japanese: 非同期推論パターン
When: an answer takes longer than a caller would wait, or requests come in bursts that are too large to serve at once
When not: the caller cannot continue without the answer; a queue then only adds latency

Diagram:
    client ── image ──▶ server ──▶ jobs ◀── worker ──▶ decode ─▶ model
           ◀── job id ──           │  ▲                           │
           ── job id ──▶ server ◀──┘  └────────── digit ──────────┘
    workers are separate processes; the server does not load the model

Commands:
    mlpatterns train digits_accurate
    mlpatterns run asynchronous --programs off
    mlpatterns work asynchronous
    curl 'http://127.0.0.1:8000/job/ID?wait=5'
    mlpatterns demo asynchronous
"""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import Evidence, ImageDecoder, JobQueue, Pipeline, Row, chosen_model, serve
from mlpatterns.testing import SlowModel, client, digit_images, job_ended, process, until_ready

if TYPE_CHECKING:
    import httpx

Images = Sequence[tuple[bytes, str]]  # image files with their digits
NAME, SEEN, FLOW, BEFORE = "asynchronous", 100, 120, 40  # images; all jobs, and those before the kill


def build() -> JobQueue:
    """A queue of images in front of a model; the setting `jobs` names the store of the jobs."""
    model = chosen_model("digits_accurate")
    return JobQueue(Pipeline(ImageDecoder(model.reference), model, name="digits"), name=NAME)


app = serve(build)


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Submits jobs and reads their answers, then kills a worker."""
    await until_ready(client)
    images = digit_images(SEEN)
    rows = (await later(client, images), *await mistakes(client, images), await accepts_at_once(), await killed(images))
    return Evidence(NAME, rows)


async def later(http: httpx.AsyncClient, images: Images) -> Row:
    told = [(await job_ended(http, await begun(http, image))).get("prediction") for image, _ in images]
    right = sum(one == digit for one, (_, digit) in zip(told, images, strict=True)) / SEEN
    return Row(f"the digits on {SEEN} images that the model has not seen, told later", ">= 0.97 right",
               f"{right:.2f} right", right >= 0.97)  # fmt: skip


async def mistakes(http: httpx.AsyncClient, images: Images) -> tuple[Row, Row]:
    """Uses a key twice for one image, then for another image; then sends data that is not an image."""
    first, second, third = [await begun(http, images[place][0], key="a key") for place in (0, 0, 1)]
    bad = await job_ended(http, await begun(http, b"no image"))
    return (
        Row("one key is one job; with another image it is refused", "same job, 409",
            f"{'same job' if first == second else 'two jobs'}, {third if third == 409 else 'accepted'}",
            first == second and third == 409),
        Row("what is no image fails, and says why", "failed, with a sentence",
            f"{bad.get('status')}: {bad.get('error', '')[:40]}…",
            bad.get("status") == "failed" and "image" in bad.get("error", "")),
    )  # fmt: skip


async def accepts_at_once() -> Row:
    """Submits ten jobs to a slow model that runs one job at a time."""
    slow = SlowModel(seconds=0.1)
    with TemporaryDirectory() as folder:
        async with client(JobQueue(slow, store=f"sqlite:///{folder}/jobs.db", concurrency=1)) as http:
            await until_ready(http)
            asked = [await http.post("/predict", json={"data": [[number]]}) for number in range(10)]
            first = slow.rows
            answers = [(await job_ended(http, job.json().get("job_id"))).get("prediction") for job in asked]
    right = sum(answer == [number] for number, answer in enumerate(answers))
    return Row("10 jobs are accepted while the model works on the first", "< 5 done then, 10 later",
               f"{first} done then, {right} later", first < 5 and right == 10)  # fmt: skip


async def killed(images: Images) -> Row:
    """Kills a worker while it works on the jobs of a server without programs, then starts a new worker."""
    with TemporaryDirectory() as folder:
        environ = {"MLPATTERNS_JOBS": f"sqlite:///{folder}/jobs.db", "MLPATTERNS_LEASE_SECONDS": "1"}
        async with AsyncExitStack() as stack:
            worker = await stack.enter_async_context(process(NAME, environ=environ))
            server = await stack.enter_async_context(process(NAME, "--programs", "off", environ=environ))
            asked = [begun(server.http, images[number % SEEN][0]) for number in range(FLOW)]
            jobs, flow = await asyncio.gather(*asked[:BEFORE]), asyncio.gather(*asked[BEFORE:])
            await worker.stop(signal.SIGKILL)
            jobs += await flow
            await stack.enter_async_context(process(NAME, environ=environ))
            answers = [await job_ended(server.http, job) for job in jobs]
    done = sum(answer.get("status") == "done" for answer in answers)
    right = sum(answer.get("prediction") == images[number % SEEN][1] for number, answer in enumerate(answers)) / FLOW
    return Row(f"of {FLOW} jobs accepted while a worker is killed, those done", f"{FLOW}, >= 0.95 right",
               f"{done}, {right:.2f} right", done == FLOW == len(set(jobs)) and right >= 0.95)  # fmt: skip


async def begun(http: httpx.AsyncClient, image: bytes, key: str | None = None) -> Any:
    """The id of the new job, or the HTTP status of a refusal."""
    body, headers = {"image_data": base64.b64encode(image).decode()}, {"idempotency-key": key} if key else {}
    answer = await http.post("/predict", json=body, headers=headers)
    return answer.json().get("job_id") if answer.status_code == 202 else answer.status_code
