"""The traffic of the soak: the requests to each system, their rate, and the expected answers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

import aiohttp
from msgspec import Struct

from mlpatterns.testing import iris_rows

__all__ = ["TOKEN", "Places", "Traffic"]

TOKEN = "soak-admin-token"
SAMPLED = (
    "web_single", "synchronous", "horizontal_microservice", "prediction_cache", "data_cache", "prep_pred", "sync_async",
    "circuit_breaker", "condition_based", "parameter_based", "online_ab", "shadow_ab", "model_load", "prediction_log",
)  # fmt: skip
PAGES = ("", "docs", "web_single/metrics", "web_single/docs", "shadow_ab/shadow")
PATIENCE = aiohttp.ClientTimeout(total=60)
DRIFTED = 1.5  # cm added to a sepal's length while the drift lasts
SWAP_EVERY = 10.0  # seconds
JOB_WAIT = 30  # seconds for a job to end


class Places(Struct, frozen=True):
    """Where the servers are."""

    up: str
    beside: str
    grpc: str


class Traffic:
    """Asks until `end` seconds are over.

    Attributes:
        asked: how often, by what was asked.
        failed: what came back instead of an answer, and how often.
        alerts: what the monitor said has drifted, at any time.
        early: what it said before the drift began.
    """

    def __init__(self, places: Places, seconds: float) -> None:
        self._places, self._seconds = places, seconds
        self._began = monotonic()
        self._random = random.Random(7)
        self.asked: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.alerts: set[str] = set()
        self.early: set[str] = set()

    async def run(self) -> None:
        """All kinds at once, each at its own pace."""
        self._began = monotonic()
        async with aiohttp.ClientSession(timeout=PATIENCE) as http, asyncio.TaskGroup() as group:
            for name in SAMPLED:
                group.create_task(self._every(0.25, f"{name} sample", partial(self._sample, http, name)))
            group.create_task(self._every(0.02, "rows", lambda: self._rows(http, "web_single")))
            group.create_task(self._every(0.02, "split rows", lambda: self._rows(http, "online_ab")))
            group.create_task(self._every(0.05, "monitored rows", lambda: self._monitored(http)))
            group.create_task(self._every(0.5, "jobs", lambda: self._job(http)))
            group.create_task(self._every(0.2, "feedback", lambda: self._feedback(http)))
            group.create_task(self._every(0.05, "dead candidate", lambda: self._beside(http)))
            group.create_task(self._every(SWAP_EVERY, "swaps", lambda: self._swap(http)))
            group.create_task(self._every(2.0, "pages", lambda: self._pages(http)))
            group.create_task(self._every(0.5, "fresh connections", self._fresh))
            group.create_task(self._calls())

    @property
    def _part(self) -> float:
        """How much of the time is over, from 0 to 1."""
        return (monotonic() - self._began) / self._seconds

    def _over(self) -> bool:
        return self._part >= 1

    async def _every(self, pace: float, what: str, ask: Callable[[], Awaitable[None]]) -> None:
        while not self._over():
            began = monotonic()
            await self._counted(what, ask)
            await asyncio.sleep(max(0.0, pace - (monotonic() - began)))

    async def _counted(self, what: str, ask: Callable[[], Awaitable[None]]) -> None:
        self.asked[what] += 1
        try:
            await ask()
        except (aiohttp.ClientError, TimeoutError, AssertionError, KeyError) as error:
            self.failed[f"{what}: {type(error).__name__} {str(error)[:100]}"] += 1

    async def _sample(self, http: aiohttp.ClientSession, name: str) -> None:
        await _answer(http.get(f"{self._places.up}/{name}/predict/test"))

    def _row(self) -> list[float]:
        return [round(self._random.gauss(middle, 0.4), 2) for middle in (5.8, 3.1, 3.8, 1.2)]

    async def _rows(self, http: aiohttp.ClientSession, name: str) -> None:
        rows = [self._row() for _ in range(self._random.randrange(1, 32))]
        headers = {"user-id": str(self._random.randrange(1000))}
        await _answer(http.post(f"{self._places.up}/{name}/predict", json={"data": rows}, headers=headers))

    async def _monitored(self, http: aiohttp.ClientSession) -> None:
        """In the middle third of the time the rows drift."""
        drifts = 1 / 3 < self._part < 2 / 3
        rows = iris_rows(20, self._random.randrange(1 << 30), longer=DRIFTED if drifts else 0.0).tolist()
        await _answer(http.post(f"{self._places.up}/prediction_monitoring/predict", json={"data": rows}))

    async def _job(self, http: aiohttp.ClientSession) -> None:
        """A job is given, and looked at until it is done."""
        at = f"{self._places.up}/asynchronous"
        given = await _answer(http.get(f"{at}/predict/test"), 202)
        until = monotonic() + JOB_WAIT
        which = given["job_id"]
        while (found := await _answer(http.get(f"{at}/job/{which}")))[which] in (None, {}) and monotonic() < until:
            await asyncio.sleep(0.05)
        assert found[which], "a job did not end"

    async def _feedback(self, http: aiohttp.ClientSession) -> None:
        at = f"{self._places.up}/prediction_log"
        asked = await _answer(http.post(f"{at}/predict", json={"data": [self._row()]}))
        told = {"prediction_id": asked["job_id"], "name": "label", "value": "setosa"}
        await _answer(http.post(f"{at}/feedback", json=told))

    async def _beside(self, http: aiohttp.ClientSession) -> None:
        await _answer(http.post(f"{self._places.beside}/predict", json={"data": [self._row()]}))

    async def _swap(self, http: aiohttp.ClientSession) -> None:
        for at in (f"{self._places.up}/model_load", self._places.beside):
            headers = {"authorization": f"Bearer {TOKEN}"}
            version = 1 + int((monotonic() - self._began) / SWAP_EVERY) % 2
            await _answer(http.post(f"{at}/swap", json={"version": version}, headers=headers))

    async def _pages(self, http: aiohttp.ClientSession) -> None:
        for path in PAGES:
            async with http.get(f"{self._places.up}/{path}") as answer:
                await answer.read()
                assert answer.status == 200, f"/{path} {answer.status}"
        found = await _answer(http.get(f"{self._places.up}/prediction_monitoring/drift"))
        alerting = {subject for window in found["windows"] for subject in window.get("alerting", ())}
        if self._part < 1 / 3:
            self.early |= alerting
        self.alerts |= alerting

    async def _fresh(self) -> None:
        """A connection of its own; every other one is left amid its answer."""
        async with aiohttp.ClientSession(timeout=PATIENCE) as http:
            asked = http.get(f"{self._places.up}/web_single/docs")
            async with asked as answer:
                if self._random.random() < 0.5:
                    await answer.read()

    async def _calls(self) -> None:
        """gRPC, one call after another on one channel, and some that their caller cancels."""
        import tritonclient.grpc.aio as triton

        client = triton.InferenceServerClient(self._places.grpc)
        try:
            while not self._over():
                await self._counted("gRPC", lambda: self._call(triton, client))
                await asyncio.sleep(0.02)
        finally:
            await client.close()

    async def _call(self, triton: Any, client: Any) -> None:
        import numpy as np

        rows = np.array([self._row() for _ in range(self._random.randrange(1, 16))], np.float32)
        asked = triton.InferInput("input", rows.shape, "FP32")
        asked.set_data_from_numpy(rows)
        call = asyncio.ensure_future(client.infer("iris_sklearn_svc", [asked]))
        if self._random.random() < 0.1:
            await asyncio.sleep(0.001)
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
        else:
            try:
                found = await call
            except triton.InferenceServerException as error:
                raise AssertionError(str(error)) from error
            assert found.as_numpy("probabilities").shape[0] == len(rows), "rows"


async def _answer(asked: Any, status: int = 200) -> Any:
    async with asked as answer:
        text = await answer.text()
        assert answer.status == status, f"{answer.url.path} {answer.status} {text[:80]}"
        return await answer.json()
