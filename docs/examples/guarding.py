"""When there is too much to do, or something fails.

Pieces around one predictor that keep it, and who asks, from harm.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mlpatterns import (
    Batcher,
    CircuitBreaker,
    CircuitOpen,
    ConstantModel,
    Fallback,
    Limit,
    Overloaded,
    Retry,
    Unavailable,
    running,
)
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client, request

NAMES = ("Batcher", "Limit", "Retry", "CircuitBreaker", "Fallback")


async def batcher_example() -> None:
    model = SlowModel(seconds=0.02)
    batcher = Batcher(model, max_batch_size=8)
    async with running(batcher):
        await asyncio.gather(*(batcher.predict(request([[number]])) for number in range(9)))
    assert (model.rows, model.calls) == (9, 2)  # one alone, and meanwhile eight


async def limit_example() -> None:
    limit = Limit(SlowModel(seconds=0.05), max_concurrency=1, max_queue=1)
    async with running(limit):
        asked = (limit.predict(request([[1]])) for _ in range(3))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers].count(Overloaded) == 1


async def retry_example() -> None:
    model = FlakyModel(fails={1})
    async with client(Retry(model, num_retries=2)) as http:
        answer = await http.post("/predict", json={"data": [[1, 2]]})
    assert (answer.status_code, answer.headers["x-mlp-retries"], model.calls) == (200, "1", 2)


async def circuit_breaker_example() -> None:
    model = FlakyModel()
    breaker = CircuitBreaker(model, minimum_number_of_calls=5, sliding_window_size=5)
    async with running(breaker):
        for _ in range(5):
            with suppress(Unavailable):
                await breaker.predict(request([[1]]))
        try:
            await breaker.predict(request([[1]]))
        except CircuitOpen as error:
            assert error.retry_after
    assert model.calls == 5


async def fallback_example() -> None:
    model = FlakyModel(fails={2})
    fallback = Fallback(model, CountingModel("cheaper"), ConstantModel(model), timeout=0.5)
    async with client(fallback) as http:
        answers = [await http.post("/predict", json={"data": [[1, 2]]}) for _ in range(2)]
    assert [answer.headers.get("x-mlp-fallback") for answer in answers] == [None, "cheaper"]
