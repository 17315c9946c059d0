"""Asynchronous

Need: Accept a slow prediction at once and give its answer later
Group: serving
Book: chapter4_serving_patterns/asynchronous_pattern
Mercari: Asynchronous
Japanese: 非同期推論パターン
When: an answer takes longer than its caller would wait, or comes in bursts that nobody wants to serve at once
When not: the answer is needed to go on; then a queue only adds to its time

Diagram:
    client ── image ──▶ server ──▶ jobs ◀── worker ──▶ decode ─▶ model
           ◀── job id ──           │  ▲                           │
           ── job id ──▶ server ◀──┘  └────────── label ──────────┘
    workers are processes of their own, as many as wanted; the server does not load the model

Commands:
    mlpatterns train digits_accurate
    mlpatterns run asynchronous --programs off
    mlpatterns work asynchronous
    mlpatterns predict http://127.0.0.1:8000 digit.png
    curl 'http://127.0.0.1:8000/job/ID?wait=5'
    mlpatterns demo asynchronous
"""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import Evidence, ImageDecoder, JobQueue, Pipeline, Row, chosen_model, serve
from mlpatterns.testing import SlowModel, client, digit_images, process, until

if TYPE_CHECKING:
    import httpx

NAME = "asynchronous"
SEEN, FLOW, BEFORE = 100, 120, 40  # images; jobs while a worker is killed, and those before


def build() -> JobQueue:
    """The jobs are kept where the setting `jobs` says; what is shown of one is the digit."""
    model = chosen_model("digits_accurate")
    return JobQueue(Pipeline(ImageDecoder(model.reference), model, name="digits"), name=NAME)


app = serve(build)


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Asks for jobs and their answers, then kills a worker while jobs flow."""
    await until(lambda: ready(client))
    images = [(encoded(data), digit) for data, digit in digit_images(SEEN)]
    rows = (await later(client, images), *await mistakes(client, images), await accepts_at_once())
    return Evidence(NAME, (*rows, await killed(images)))


async def later(http: httpx.AsyncClient, images: Sequence[tuple[str, str]]) -> Row:
    answers = [await ended(http, await begun(http, image)) for image, _ in images]
    right = sum(answer.get("prediction") == digit for answer, (_, digit) in zip(answers, images, strict=True)) / SEEN
    return Row(f"the digits on {SEEN} images that the model has not seen, told later", ">= 0.97 right",
               f"{right:.2f} right", right >= 0.97)  # fmt: skip


async def mistakes(http: httpx.AsyncClient, images: Sequence[tuple[str, str]]) -> tuple[Row, Row]:
    """The same key twice, and with another image; then what is no image."""
    (one, _), (other, _) = images[:2]
    answers = [await post(http, image, {"idempotency-key": "a key"}) for image in (one, one, other)]
    same = answers[0].json().get("job_id") == answers[1].json().get("job_id") is not None
    bad = await ended(http, await begun(http, encoded(b"no image")))
    return (
        Row("one key is one job; with another image it is refused", "same job, 409",
            f"{'same job' if same else 'two jobs'}, {answers[2].status_code}", same and answers[2].status_code == 409),
        Row("what is no image fails, and says why", "failed, with a sentence",
            f"{bad.get('status')}: {str(bad.get('error'))[:40]}…",
            bad.get("status") == "failed" and "image" in str(bad.get("error"))),
    )  # fmt: skip


async def accepts_at_once() -> Row:
    """Twenty jobs of a model that takes its time, one at a time."""
    slow = SlowModel(seconds=0.05)
    with TemporaryDirectory() as folder:
        async with client(JobQueue(slow, store=f"sqlite:///{folder}/jobs.db", concurrency=1)) as http:
            await until(lambda: ready(http))
            asked = [await http.post("/predict", json={"data": [[number]]}) for number in range(20)]
            jobs = [answer.json().get("job_id") for answer in asked]
            first = slow.rows
            answers = [(await ended(http, job)).get("prediction") for job in jobs]
    right = sum(answer == [number] for number, answer in enumerate(answers))
    return Row("20 jobs are accepted while the model works on the first", "< 10 done then, 20 later",
               f"{first} done then, {right} later", first < 10 and right == 20)  # fmt: skip


async def killed(images: Sequence[tuple[str, str]]) -> Row:
    """A server that has no model, a worker that is killed at work, and one that takes its place."""
    with TemporaryDirectory() as folder:
        environ = {"MLPATTERNS_JOBS": f"sqlite:///{folder}/jobs.db", "MLPATTERNS_LEASE_SECONDS": "1"}
        async with AsyncExitStack() as stack:
            worker = await stack.enter_async_context(process(NAME, environ=environ))
            server = await stack.enter_async_context(process(NAME, "--programs", "off", environ=environ))
            jobs = [await begun(server.http, images[number % SEEN][0]) for number in range(BEFORE)]
            flow = asyncio.gather(*[begun(server.http, images[number % SEEN][0]) for number in range(BEFORE, FLOW)])
            await worker.stop(signal.SIGKILL)
            jobs += await flow
            await stack.enter_async_context(process(NAME, environ=environ))
            answers = [await ended(server.http, job) for job in jobs]
    done = sum(answer.get("status") == "done" for answer in answers)
    right = sum(answer.get("prediction") == images[number % SEEN][1] for number, answer in enumerate(answers)) / FLOW
    return Row(f"of {FLOW} jobs accepted while a worker is killed, those done", f"{FLOW}, >= 0.95 right",
               f"{done}, {right:.2f} right", done == FLOW == len(set(jobs)) and right >= 0.95)  # fmt: skip


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def ready(http: httpx.AsyncClient) -> bool:
    """Whether a worker has told what the model takes."""
    return (await http.get("/health/ready")).status_code == 200


async def post(http: httpx.AsyncClient, image: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return await http.post("/predict", json={"image_data": image}, headers=headers)


async def begun(http: httpx.AsyncClient, image: str) -> Any:
    return (await post(http, image)).json().get("job_id")


async def ended(http: httpx.AsyncClient, job: Any) -> dict[str, Any]:
    """What is told of a job at its end, for which it waits half a minute."""
    answer = await http.get(f"/job/{job}", params={"wait": 25}, timeout=40)
    found: dict[str, Any] = answer.json().get(job, {}) if answer.status_code == 200 else {}
    return found
