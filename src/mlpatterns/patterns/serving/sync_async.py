"""Sync-async

Need: Answer now with a fast model and later with a better one
Group: serving
Book: chapter4_serving_patterns/sync_async_pattern
Mercari: Multiple stage prediction
Japanese: 時間差推論パターン
When: callers want an answer now, a better one may follow, and both models take the same input
When not: the fast model is good enough, or its mistakes would do harm before the better answer comes

Diagram:
    client ── image ──────────▶ server ──▶ digits_fast ─▶ now
           ◀── digit, job id ──   └──────▶ jobs ◀── worker ──▶ digits_accurate
           ── job id ────────▶ server ◀─────┘ later

Commands:
    mlpatterns train digits_fast digits_accurate
    mlpatterns run sync_async
    mlpatterns predict http://127.0.0.1:8000 @digit.png
    curl 'http://127.0.0.1:8000/job/ID?wait=5'
    mlpatterns demo sync_async
"""

from __future__ import annotations

import base64
import re
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import Answers, Evidence, ImageDecoder, JobQueue, OnnxModel, Pipeline, Row, SyncAsync, serve
from mlpatterns.testing import CountingModel, FlakyModel, client, digit_images, job_ended, until_ready

if TYPE_CHECKING:
    import httpx

    from mlpatterns import Context, InferenceResponse

NAME, FAST, SLOW = "sync_async", "digits_fast", "digits_accurate"
SEEN = 200


def build() -> SyncAsync:
    """Each model has its own image decoder; the slow model decodes in its worker."""
    fast, slow = OnnxModel("digits_fast"), OnnxModel("digits_accurate")
    later = JobQueue(Pipeline(ImageDecoder(slow.reference), slow, name=SLOW))
    return SyncAsync(Pipeline(ImageDecoder(fast.reference), fast, name=FAST), later, name=NAME)


def both(response: InferenceResponse, context: Context) -> dict[str, Any]:
    """The id of the job, or null without a job, and the fast model's label; for several images a list of labels."""
    assert response.described is not None
    scores, names = response.outputs[response.described.primary_output], response.described.labels
    labels = [names[best] for best in scores.argmax(axis=1)]
    job = response.outputs["job_id"].item(0).decode()
    return {"job_id": job or None, FAST: labels[0] if len(labels) == 1 else labels}


ANSWERS = Answers(predict=both, label=both)
app = serve(build, answers=ANSWERS)


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Gets both answers for each image, then breaks the fast model and the queue."""
    await until_ready(client, "/health/all", {FAST: "ok", SLOW: "ok"})
    images = digit_images(SEEN)
    answers = [await ask(client, data) for data, _ in images]
    later = [(await job_ended(client, answer.get("job_id"))).get("prediction") for answer in answers]
    found = [(answer.get(FAST), last, digit) for answer, last, (_, digit) in zip(answers, later, images, strict=True)]
    return Evidence(NAME, (*compared(found), await fast_fails(), await queue_fails()))


def compared(found: list[tuple[Any, Any, str]]) -> tuple[Row, Row, Row]:
    """How often each model is right, and which of them is right where they differ."""
    fast, slow = (sum(each[place] == each[2] for each in found) / len(found) for place in (0, 1))
    differ = [each for each in found if each[0] != each[1]]
    mended = sum(last == digit for _, last, digit in differ)
    shown = "one is a {2}: {0} now, {1} later".format(*differ[0]) if differ else "no image"
    return (
        Row("what the fast model says now", ">= 0.85 right", f"{fast:.3f} right", fast >= 0.85),
        Row("what the accurate model says later", ">= 0.97 right", f"{slow:.3f} right", slow >= 0.97),
        Row("where they differ the later answer is mostly the right one", "more than half",
            f"{mended} of {len(differ)}; {shown}", 2 * mended > len(differ)),
    )  # fmt: skip


async def fast_fails() -> Row:
    """If the fast model fails, no job is created, because the client would not learn its id."""
    with TemporaryDirectory() as folder:
        slow = JobQueue(CountingModel(labels=("0",)), store=f"sqlite:///{folder}/jobs.db")
        async with client(SyncAsync(FlakyModel(), slow), answers=ANSWERS) as http:
            await until_ready(http, "/health/all", {"flaky": "ok", "counting": "ok"})
            status = (await http.post("/predict", json={"data": [[1.0]]})).status_code
            counts = re.findall(r"^mlpatterns_jobs_queued_total\S* (\S+)$", (await http.get("/metrics")).text, re.M)
            made = sum(int(float(count)) for count in counts)
    return Row("if the fast model fails, it says so and there is no job", "503, 0 jobs", f"{status}, {made} jobs",
               status == 503 and made == 0)  # fmt: skip


async def queue_fails() -> Row:
    """A store that cannot be opened, because /dev/null is not a folder."""
    slow = JobQueue(CountingModel(), store="sqlite:////dev/null/jobs.db")
    async with client(SyncAsync(CountingModel("fast", labels=("0",)), slow), answers=ANSWERS) as http:
        answer = await http.post("/predict", json={"data": [[1.0]]})
    degraded, told = answer.headers.get("x-mlp-degraded"), answer.json()
    return Row("if the queue fails, the fast answer comes, marked degraded", "200, no job, degraded",
               f"{answer.status_code}, job {told.get('job_id', 'missing')}, {'degraded' if degraded else 'not marked'}",
               answer.status_code == 200 and told == {"job_id": None, FAST: "0"} and degraded == "true")  # fmt: skip


async def ask(http: httpx.AsyncClient, image: bytes) -> dict[str, Any]:
    answer = await http.post("/predict", json={"image_data": base64.b64encode(image).decode()})
    found: dict[str, Any] = answer.json()
    return found
