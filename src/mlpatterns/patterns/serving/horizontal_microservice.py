"""Horizontal microservice

Need: Ask several models at once and combine their answers
Group: serving
Book: chapter4_serving_patterns/horizontal_microservice_pattern
Mercari: Microservice horizontal
Japanese: 並列マイクロサービスパターン
When: several models take the same input, and each must be trained, released and scaled independently of the others
When not: one model could give all the answers; or one model needs the answer of another, which is a pipeline

Diagram:
                      ┌─▶ setosa ──────┐
    client ─▶ front ──┼─▶ versicolor ──┼─▶ all answers, or the most probable
                      └─▶ virginica ───┘
    a model runs in its own process if MLPATTERNS_SERVICE_<NAME>_URL gives its address

Commands:
    mlpatterns train iris_binary_setosa iris_binary_versicolor iris_binary_virginica
    mlpatterns run horizontal_microservice
    mlpatterns run horizontal_microservice --service setosa --port 8001
    mlpatterns demo horizontal_microservice
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpatterns import Answers, Context, Evidence, FanOut, InferenceResponse, OnnxModel, Row, Service, TensorSpec, serve
from mlpatterns.testing import process

if TYPE_CHECKING:
    import httpx

NAME, PARTS = "horizontal_microservice", ("setosa", "versicolor", "virginica")


def build() -> FanOut:
    """Three binary models, each for one species against the others."""
    parts = {part: Service(part, OnnxModel(f"iris_binary_{part}")) for part in PARTS}
    outputs = [TensorSpec("probabilities", "FP32", (-1, len(PARTS), 2))]
    return FanOut(parts, combine=side_by_side, outputs=outputs, labels=PARTS, name=NAME, digest="side by side")


def side_by_side(answers: Mapping[str, InferenceResponse]) -> dict[str, Any]:
    """[rows, parts, 2]: for each part the probability of its species, then that of all others."""
    return {"probabilities": np.stack([answer.outputs["probabilities"] for answer in answers.values()], axis=1)}


def by_part(response: InferenceResponse, context: Context) -> Any:
    """The prediction of each part, with the probability of its own species first; for several rows a list."""
    values = response.outputs["probabilities"]
    return {part: {"prediction": one_or_all(values[:, index].tolist())} for index, part in enumerate(PARTS)}


def most_probable(response: InferenceResponse, context: Context) -> Any:
    """The species with the highest probability by its own part, and that probability; for several rows a list."""
    own = response.outputs["probabilities"][:, :, 0]
    best = zip(own.max(axis=1).tolist(), own.argmax(axis=1).tolist(), strict=True)
    return {"prediction": one_or_all([{"proba": proba, "label": PARTS[part]} for proba, part in best])}


def one_or_all(rows: list[Any]) -> Any:
    return rows[0] if len(rows) == 1 else rows


ALIASES = {"/predict/get/test": "/predict/test", "/predict/post/test": "/predict/test"}  # the book's names
app = serve(build, answers=Answers(predict=by_part, label=most_probable, aliases=ALIASES))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Predicts with the three models in this process, then in four processes, one of which is killed."""
    from sklearn.datasets import load_iris

    rows, truth = load_iris().data.tolist(), load_iris().target
    whole, labels = await ask(client, "/predict", rows), await ask(client, "/predict/label", rows)
    first = np.array([whole[part]["prediction"] for part in PARTS])[:, [0, 75, 149], 0]
    knows = ", ".join(PARTS[part] for part in first.argmax(axis=0))
    right = np.mean([PARTS[kind] == one["label"] for kind, one in zip(truth, labels["prediction"], strict=True)])
    return Evidence(NAME, (
        Row("each part knows its own species, and says so first", ", ".join(PARTS), knows, knows == ", ".join(PARTS)),
        Row("accuracy of the most probable on all 150 flowers", ">= 0.93", f"{right:.3f}", bool(right >= 0.93)),
        *await in_four_processes(rows, whole),
    ))  # fmt: skip


async def in_four_processes(rows: list[list[float]], whole: Any) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        parts = {part: await stack.enter_async_context(process(NAME, service=part)) for part in PARTS}
        urls = {f"MLPATTERNS_SERVICE_{part.upper()}_URL": server.url for part, server in parts.items()}
        front = (await stack.enter_async_context(process(NAME, environ=urls))).http
        apart = difference(await ask(front, "/predict", rows), whole)
        await parts["virginica"].stop(signal.SIGKILL)
        down, health = await front.post("/predict", json={"data": rows[:1]}), (await front.get("/health/all")).json()
        async with process(NAME, service="virginica", port=parts["virginica"].port):
            back = difference(await ask(front, "/predict", rows), whole)
    ill = ", ".join(part for part in PARTS if health.get(part) == {"health": "ng"})
    named = down.status_code == 503 and "virginica" in down.text and ill == "virginica"
    return (
        Row("four processes answer as one does, for all 150 flowers", "<= 1e-5", f"{apart:.1e}", apart <= 1e-5),
        Row("a killed part is named: by a 503, by /health/all", "503, virginica", f"{down.status_code}, {ill}", named),
        Row("when that part is back, so are its answers", "<= 1e-5", f"{back:.1e}", back <= 1e-5),
    )  # fmt: skip


def difference(one: Any, other: Any) -> float:
    """The largest difference between the probabilities of two answers."""
    found, expected = (np.array([answer[part]["prediction"] for part in PARTS]) for answer in (one, other))
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")


async def ask(client: httpx.AsyncClient, path: str, rows: list[list[float]]) -> Any:
    answer = await client.post(path, json={"data": rows})
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.text}")
    return answer.json()
