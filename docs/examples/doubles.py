"""Tests of your own: models and time.

`mlpatterns.testing` has models that count, fail and dawdle, a clock that you turn, and a client that needs no socket.
"""

from __future__ import annotations

import asyncio

import numpy as np

from mlpatterns import Limit, Retry, Unavailable, running
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, client, request

NAMES = ("client", "request", "CountingModel", "FlakyModel", "SlowModel", "FakeClock", "until", "until_ready",
         "job_ended", "logged", "free_port")  # fmt: skip


async def client_example() -> None:
    async with client({"one": CountingModel(), "other": CountingModel()}, headers={"user-id": "ann"}) as http:
        answer = await http.post("/models/one/predict", json={"data": [[1, 2, 3]]})
    assert answer.json()["prediction"] == [6]


def request_example() -> None:
    asked = request({"input": [[1, 2]]}, headers={"user-id": "ann"}, principal="ann", parameters={"factor": 2})
    assert asked.inputs["input"].dtype == np.float32
    assert asked.context.headers["user-id"] == "ann"


async def counting_model_example() -> None:
    model = CountingModel(fields=["length", "width"], labels=["sum"])
    async with client(model) as http:
        await http.post("/predict", json={"data": [{"length": 1, "width": 2}, {"length": 3, "width": 4}]})
    assert (model.calls, model.rows, model.most_running) == (1, 2, 1)


async def flaky_model_example() -> None:
    model = FlakyModel(error=Unavailable("it is being changed"), fails=lambda call: call % 2 == 1)
    retry = Retry(model)
    async with running(retry):
        await retry.predict(request([[1, 2]]))
    assert model.calls == 2


async def slow_model_example() -> None:
    model, clock = SlowModel(seconds=60), FakeClock()
    limit = Limit(model, max_concurrency=1, max_queue=1)
    async with running(limit, clock=clock):
        asked = [asyncio.create_task(limit.predict(request([[1, 2]]))) for _ in range(2)]
        await clock.advance(120)
        await asyncio.gather(*asked)
    assert model.most_running == 1


async def fake_clock_example() -> None:
    clock = FakeClock(monotonic=0)
    sleeping = asyncio.create_task(clock.sleep(3600))
    await clock.advance(3600)
    await sleeping
    assert clock.monotonic() == 3600
