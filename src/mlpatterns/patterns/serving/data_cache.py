"""Data cache

Need: Prepare the input for a key once, not for every request
Group: serving
Book: chapter4_serving_patterns/data_cache_pattern
Mercari: Data cache
Japanese: データキャッシュパターン
When: keys identify the inputs, the same keys recur, and an input costs more to load and prepare than to predict
When not: clients send their inputs themselves; or answers may be cached: a prediction cache then stores less

Diagram:
    client ── key ──▶ cache ── miss ──▶ image by key ─▶ decode, resize
                        │ hit    ◀── the pixels, kept under the loader's digest
                        ▼
                      model ──▶ the answer, computed each time

Commands:
    mlpatterns train digits_accurate
    MLPATTERNS_ADMIN_TOKEN=secret mlpatterns run data_cache
    curl -H 'x-admin-token: secret' -d '{"keys": ["0000", "0001"]}' http://127.0.0.1:8000/data_cache/warm
    mlpatterns predict http://127.0.0.1:8000 '"0000"' --label
    mlpatterns demo data_cache
"""

from __future__ import annotations

import re
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlpatterns import (
    Answers,
    DataCache,
    Evidence,
    GoldenImages,
    ImageDecoder,
    OnnxModel,
    Pipeline,
    Row,
    chosen_model,
    load_settings,
    nested_prediction,
    serve,
)
from mlpatterns.testing import CountingModel, ask_keys, cache_trial, client

if TYPE_CHECKING:
    import httpx

KEYS, COUNT, TOKEN = [f"{number:04d}" for number in range(24)], 24, "of the demo"


def build() -> Pipeline:
    """Keys name photos that the server has; the setting `cache` names the store of their pixels."""
    model = chosen_model("digits_accurate")
    return Pipeline(DataCache(photos(model)), model, name="data_cache")


def photos(model: OnnxModel) -> Pipeline:
    """Loads the image of a key and decodes it to the model's input."""
    return Pipeline(GoldenImages(model.reference), ImageDecoder(model.reference), name="photos")


app = serve(build, answers=Answers(predict=nested_prediction))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Predicts every key twice, tests batches and warming, and compares this cache with a prediction cache."""
    with TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/cache.db"
        rows = (*await twice(client), await at_once(store), await warmed(), *await beside(store))
    return Evidence("data_cache", rows)


async def twice(client: httpx.AsyncClient) -> tuple[Row, Row]:
    """Predicts every key without the cache, and then from it."""
    fresh, cached = await ask_keys(client, KEYS, {"cache-control": "no-cache"}), await ask_keys(client, KEYS)
    misses = (await client.get("/data_cache")).json()["miss"]
    equal = sum(a == b for a, b in zip(fresh.answers, cached.answers, strict=True))
    varied = len(set(map(str, fresh.answers))) > 3  # else a constant answer would pass
    return (
        Row("what was prepared before is not prepared again", f"{COUNT} hits, 0 misses",
            f"{cached.of('hit')} hits, {misses} misses", cached.of("hit") == COUNT and misses == 0),
        Row("a hit answers as the image itself does, to the last digit", f"{COUNT} equal", f"{equal} equal",
            equal == COUNT and varied),
    )  # fmt: skip


async def at_once(store: str) -> Row:
    """One request with many keys, with a store outside the process."""
    loader, rows = CountingModel(), [[float(key)] for key in KEYS]
    async with client(DataCache(loader, store=store, store_timeout=5)) as http:  # seconds; slow machines need them
        right = (await http.post("/predict", json={"data": rows})).json() == {"prediction": rows}
        found = re.findall(r"^mlpatterns_cache_lookup_seconds_count\S* (\S+)$", (await http.get("/metrics")).text, re.M)
    lookups = sum(int(float(count)) for count in found)
    return Row("the keys of one request are one look-up and one loading", "1, 1", f"{lookups}, {loader.calls}",
               right and lookups == loader.calls == 1)  # fmt: skip


async def warmed() -> Row:
    """A command prepares keys in advance."""
    async with client(build, settings=load_settings({"admin_token": TOKEN}).settings) as http:
        told = await http.post("/data_cache/warm", json={"keys": [*KEYS, "9999"]}, headers={"x-admin-token": TOKEN})
        hits, said = (await ask_keys(http, KEYS)).of("hit"), told.json()
    measured = f"{said.get('prepared')} prepared, {len(said.get('failed', ()))} failed, {hits} hits"
    bound = f"{COUNT} prepared, 1 failed, {COUNT} hits"
    return Row("keys that are warmed are hits, and a bad one fails alone", bound, measured, measured == bound)


async def beside(store: str) -> list[Row]:
    """Both caches with the same photos and store: the cost of a miss and of a hit, and the stored bytes."""
    from mlpatterns import PredictionCache

    model, bound = chosen_model("digits_accurate"), f"{COUNT} misses, {COUNT} hits"
    data = Pipeline(DataCache(photos(model), store=store, store_timeout=5), model)
    whole = PredictionCache(Pipeline(photos(model), model), store=store, store_timeout=5)
    one, other = await cache_trial(data, KEYS, "/data_cache"), await cache_trial(whole, KEYS, "/cache")
    rows = (("data_cache", one, 0), ("prediction_cache", other, one.bytes))
    return [Row(f"on one store with the other: {name}", bound, trial.shown(before), trial.counts == bound)
            for name, trial, before in rows]  # fmt: skip
