"""Tests of your own: what a system does.

What the demos of the gallery use: what a cache does with keys, what a monitor finds, what a batch run wrote, what a
site answers on the device.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.request import Request, urlopen

from mlpatterns import PredictionCache
from mlpatterns.testing import (
    AskedKeys,
    BuildContext,
    CacheTrial,
    CountingModel,
    ask_keys,
    build_context,
    cache_trial,
    client,
    heard,
)

NAMES = ("AskedKeys", "ask_keys", "CacheTrial", "cache_trial", "Hook", "heard", "heard_of", "watched", "iris_rows",
         "digit_images", "batch_items", "batch_run", "download", "answers_in_node", "answers_in_python",
         "labels_of_pictures", "BuildContext", "build_context", "engine_with", "build_image")  # fmt: skip


async def asked_keys_example() -> None:
    async with client(PredictionCache(CountingModel())) as http:
        asked: AskedKeys = await ask_keys(http, [[[1, 2]], [[3, 4]], [[1, 2]]])
    assert asked.answers == ([3], [7], [3])
    assert (asked.of("miss"), asked.of("hit")) == (2, 1)


async def cache_trial_example() -> None:
    trial: CacheTrial = await cache_trial(PredictionCache(CountingModel()), [[[1, 2]], [[3, 4]]], "/cache")
    assert trial.counts == "2 misses, 2 hits"


async def hook_example() -> None:
    async with heard() as hook:
        await asyncio.to_thread(urlopen, Request(hook.url, json.dumps({"raised": ["length"]}).encode()))
    assert hook.bodies == [{"raised": ["length"]}]


def build_context_example() -> None:
    context: BuildContext = build_context("model_in_image", Path("context"))
    assert (context.folder / "Dockerfile").is_file()
    assert any(package.startswith("onnxruntime==") for package in context.requirements)
