"""Prep-pred

Need: Scale preprocessing and prediction independently of each other
Group: serving
Book: chapter4_serving_patterns/prep_pred_pattern
Mercari: Prep-pred
Japanese: 前処理・推論パターン
When: preprocessing costs more than prediction, or needs other machines or libraries than the model
When not: both are fast; a call from one process to another then costs more than it saves

Diagram:
    client ──┬─▶ prep: decode, resize ──┬─▶ pred: the model
             └─▶ prep: decode, resize ──┘
    any number of processes of each, if MLPATTERNS_SERVICE_PRED_URL gives the model's address; else one process

Commands:
    mlpatterns train digits_accurate
    mlpatterns run prep_pred --service pred --port 8001
    MLPATTERNS_SERVICE_PRED_URL=http://127.0.0.1:8001 mlpatterns run prep_pred --port 8000
    mlpatterns predict http://127.0.0.1:8000 @digit.png --label
    mlpatterns demo prep_pred
"""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpatterns import Answers, Evidence, ImageDecoder, Pipeline, Row, Service, chosen_model, nested_prediction, serve
from mlpatterns.testing import digit_images, process

if TYPE_CHECKING:
    import httpx

    from mlpatterns.testing import ServerProcess

NAME = "prep_pred"
SEEN, PHOTOS, SIDE = 100, 16, 2000  # a photo has four megapixels


def build() -> Pipeline:
    """One part turns images into pixels, the other pixels into probabilities; each may run in its own process."""
    model = chosen_model("digits_accurate")
    prep = Service("prep", ImageDecoder(model.reference))
    return Pipeline(prep, Service("pred", model), name=NAME, tells_health=True)


app = serve(build, answers=Answers(predict=nested_prediction))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Predicts in one process, then in two that prepare and one that predicts; kills the one that predicts."""
    images = digit_images(SEEN)
    labels = [(await ask(client, data, "/predict/label"))["prediction"] for data, _ in images]
    right = np.mean([label == truth for label, (_, truth) in zip(labels, images, strict=True)])
    return Evidence(NAME, (
        Row(f"accuracy on {SEEN} images that the model has not seen", ">= 0.97", f"{right:.2f}", bool(right >= 0.97)),
        *await in_processes(client),
    ))  # fmt: skip


async def in_processes(one: httpx.AsyncClient) -> tuple[Row, ...]:
    photos = [data for data, _ in digit_images(PHOTOS, side=SIDE, format="JPEG")]
    async with AsyncExitStack() as stack:
        pred = await stack.enter_async_context(process(NAME, service="pred"))
        where = {"MLPATTERNS_SERVICE_PRED_URL": pred.url}
        preps = [await stack.enter_async_context(process(NAME, environ=where)) for _ in range(2)]
        apart, _ = await work([*preps, pred], preps, photos)  # this first run also warms the processes up
        whole = np.array([(await ask(one, photo))["prediction"][0] for photo in photos])
        gap = float(np.abs(apart - whole).max())
        _, alone = await work([*preps, pred], preps[:1], photos)
        _, halves = await work([*preps, pred], preps, photos)
        busiest, model = max(halves) / max(alone), alone[-1] / sum(alone)
        await pred.stop(signal.SIGKILL)
        down = await preps[0].http.post("/predict", json={"data": encoded(photos[0])})
        health = (await preps[0].http.get("/health/all")).json()
        async with process(NAME, service="pred", port=pred.port):
            back = await ask(preps[1].http, photos[0])
    ill = ", ".join(part for part, found in health.items() if found == {"health": "ng"})
    named = down.status_code == 503 and "'pred'" in down.text and ill == "pred"
    late = float(np.abs(np.array(back["prediction"][0]) - whole[0]).max())
    return (
        Row("three processes answer as one does", "<= 1e-5", f"{gap:.1e}", gap <= 1e-5),
        Row("of the CPU that photos take, the model's process needs", "<= 0.4", f"{model:.2f}", model <= 0.4),
        Row("two that prepare: the busiest process has, of the CPU of one alone", "<= 0.75", f"{busiest:.2f}",
            busiest <= 0.75),
        Row("a killed model is named: by a 503, by /health/all", "503, pred", f"{down.status_code}, {ill}", named),
        Row("when it is back, so are its answers", "<= 1e-5", f"{late:.1e}", late <= 1e-5),
    )  # fmt: skip


async def work(
    processes: Sequence[ServerProcess], preps: Sequence[ServerProcess], photos: Sequence[bytes]
) -> tuple[Any, list[float]]:
    """The answers to photos, which are sent to `preps` in turn, and the CPU seconds that each of `processes` used."""
    before = [one.cpu_seconds for one in processes]
    asked = [ask(preps[turn % len(preps)].http, photo) for turn, photo in enumerate(photos)]
    answers = [answer["prediction"][0] for answer in await asyncio.gather(*asked)]
    return np.array(answers), [one.cpu_seconds - then for one, then in zip(processes, before, strict=True)]


async def ask(client: httpx.AsyncClient, image: bytes, path: str = "/predict") -> Any:
    answer = await client.post(path, json={"data": encoded(image)}, timeout=60)
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.text}")
    return answer.json()


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()
