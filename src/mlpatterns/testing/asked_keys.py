"""Sends keys to a system, and reports its answers, their latency, the cache hits, and the bytes in the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mlpatterns.context import NOTHING
from mlpatterns.predictor import Predictor
from mlpatterns.testing.client import client

if TYPE_CHECKING:
    import httpx

__all__ = ["AskedKeys", "CacheTrial", "ask_keys", "cache_trial"]

STATES = ("x-mlp-cache", "x-mlp-data-cache")  # if there are several caches, the first one counts

WRITTEN = 0.2  # seconds to wait until the cache has written all entries, so that they are counted


class AskedKeys(Struct, frozen=True):
    """The results for keys, in the order of the keys.

    Attributes:
        states: the state that the first cache reports, such as ``hit``; ``no cache`` if none does.
        answers: the prediction, or the HTTP status if the request failed.
        ms: the median latency in milliseconds.
    """

    states: tuple[str, ...]
    answers: tuple[Any, ...]
    ms: float

    def of(self, state: str) -> int:
        """How many keys have this state."""
        return self.states.count(state)


async def ask_keys(http: httpx.AsyncClient, keys: Iterable[Any], headers: Mapping[str, str] = NOTHING) -> AskedKeys:
    """Sends each of `keys` to `/predict` in a separate request. Other inputs are possible too.

    Args:
        http: a client of the app.
        keys: each is the data of one request.
        headers: sent with each request.
    """
    states, answers, times = [], [], []
    for key in keys:
        began = perf_counter()
        answer = await http.post("/predict", json={"data": key}, headers=dict(headers))
        times.append(1000 * (perf_counter() - began))
        states.append(next((answer.headers[name] for name in STATES if name in answer.headers), "no cache"))
        answers.append(answer.json()["prediction"] if answer.status_code == 200 else answer.status_code)
    return AskedKeys(tuple(states), tuple(answers), median(times) if times else 0.0)


class CacheTrial(Struct, frozen=True):
    """The results of a cache to which each key was sent twice.

    Attributes:
        first, again: the results of the first and the second round.
        bytes: the number of bytes in the complete store at the end; 0 if the store does not report them.
    """

    first: AskedKeys
    again: AskedKeys
    bytes: int

    @property
    def counts(self) -> str:
        """The number of misses in the first round, and of hits in the second, as text."""
        return f"{self.first.of('miss')} misses, {self.again.of('hit')} hits"

    def shown(self, before: int = 0) -> str:
        """The same text with milliseconds and stored kilobytes. `before` is the size of the store before the trial."""
        kept = (self.bytes - before) / 1000
        return f"{self.counts}, {self.first.ms:.1f} and {self.again.ms:.1f} ms, {kept:.1f} kB"


async def cache_trial(cache: Predictor, keys: Sequence[Any], figures: str) -> CacheTrial:
    """Starts `cache`, sends each of `keys`, then each again.

    Args:
        cache: the predictor to serve: a cache, or a predictor that contains one.
        keys: each is the data of one request.
        figures: the path of the cache's figures, such as ``/cache``.
    """
    async with client(cache) as http:
        first, again = await ask_keys(http, keys), await ask_keys(http, keys)
        await asyncio.sleep(WRITTEN)
        return CacheTrial(first, again, (await http.get(figures)).json()["bytes"] or 0)
