"""Prediction cache

Need: Answer a question that was asked before without running the model
Group: serving
Book: chapter4_serving_patterns/prediction_cache_pattern
Mercari: Prediction cache
Japanese: 推論キャッシュパターン
When: the same requests recur, and the answer depends on nothing but the request
When not: requests hardly ever recur, or the answer depends on something that is not part of the request

Diagram:
    client ── key ──▶ cache ── miss ──▶ image by key ─▶ decode ─▶ model
           ◀────────── hit      ◀── the answer, kept under the model's digest

Commands:
    mlpatterns train digits_accurate
    mlpatterns run prediction_cache
    mlpatterns predict http://127.0.0.1:8000 '"0000"' --label
    MLPATTERNS_CACHE=redis://127.0.0.1:6379/0 mlpatterns run prediction_cache --workers 2
    mlpatterns demo prediction_cache
"""

from __future__ import annotations

import asyncio
import re
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlpatterns import (
    Answers,
    Evidence,
    GoldenImages,
    ImageDecoder,
    Pipeline,
    PredictionCache,
    Predictor,
    Row,
    chosen_model,
    nested_prediction,
    serve,
)
from mlpatterns.testing import CountingModel, SlowModel, ask_keys, client

if TYPE_CHECKING:
    import httpx

KEYS = [f"{number:04d}" for number in range(24)]
CROWD, DEAD = 200, 20


def build() -> Predictor:
    """Keys name photos that the server has; the setting `cache` names the store of the answers."""
    model = chosen_model("digits_accurate")
    photos = Pipeline(GoldenImages(model.reference), ImageDecoder(model.reference), name="photos")
    return PredictionCache(Pipeline(photos, model, name="prediction_cache"), ttl=3600)


app = serve(build, answers=Answers(predict=nested_prediction))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Predicts every key twice, then tests crowds, new versions and a dead store."""
    with TemporaryDirectory() as folder:
        rows = (*await twice(client), await crowd(), await versions(f"sqlite:///{folder}/cache.db"), await dead_store())
    return Evidence("prediction_cache", rows)


async def twice(client: httpx.AsyncClient) -> tuple[Row, Row]:
    """Predicts every key without the cache, and then from it."""
    model, before = await ask_keys(client, KEYS, {"cache-control": "no-cache"}), await inferences(client)
    cached, reached = await ask_keys(client, KEYS), await inferences(client) - before
    hits, count = cached.of("hit"), len(KEYS)
    equal = sum(a == b for a, b in zip(model.answers, cached.answers, strict=True))
    varied = len(set(map(str, model.answers))) > 3  # else a constant answer would pass
    return (
        Row("what was asked before does not reach the model", f"{count} hits, 0 reach it",
            f"{hits} hits, {reached} reach it", hits == count and reached == 0),
        Row("a hit is what the model answered, to the last digit", f"{count} equal", f"{equal} equal",
            equal == count and varied),
    )  # fmt: skip


async def crowd() -> Row:
    """Many clients send the same request to a slow model at once."""
    slow = SlowModel(seconds=0.05)
    async with client(PredictionCache(slow)) as http:
        asked = await asyncio.gather(*[ask_keys(http, [[[1.0, 2.0]]]) for _ in range(CROWD)])
    right = sum(one.answers == ([3.0],) for one in asked)
    return Row(f"{CROWD} who ask the same at once reach the model once", f"{CROWD} right, 1 reaches it",
               f"{right} right, {slow.calls} reach it", right == CROWD and slow.calls == 1)  # fmt: skip


async def versions(store: str) -> Row:
    """Serves versions 1, 2 and 1 again, all with one store."""
    found = []
    for version in "121":
        model = CountingModel(version=version, digest=version)
        async with client(PredictionCache(model, store=store, store_timeout=5)) as http:  # slow machines need 5 s
            headers = (await http.post("/predict", json={"data": [[1.0]]})).headers
            found.append((headers.get("x-mlp-version", "no answer"), headers.get("x-mlp-cache", "no cache")))
    shown = ", ".join(" ".join(answer) for answer in found)
    return Row("a new version never answers from the old one's cache", "1 miss, 2 miss, 1 hit", shown,
               found == [("1", "miss"), ("2", "miss"), ("1", "hit")])  # fmt: skip


async def dead_store() -> Row:
    """A store that cannot be opened, because /dev/null is not a folder."""
    async with client(PredictionCache(CountingModel(), store="sqlite:////dev/null/cache.db")) as http:
        asked = await ask_keys(http, [[[float(number)]] for number in range(DEAD)])
    right = sum(one == ("miss", [number]) for number, one in enumerate(zip(asked.states, asked.answers, strict=True)))
    return Row("a store that is dead fails no request", f"{DEAD} answered", f"{right} answered", right == DEAD)


async def inferences(client: httpx.AsyncClient) -> int:
    """The number of inferences, from the server's own metrics."""
    counts = re.findall(r"^mlpatterns_inference_seconds_count\S* (\S+)$", (await client.get("/metrics")).text, re.M)
    return sum(int(float(count)) for count in counts)
