"""Asking a system for keys: what its cache did, what was answered, how long it took, and what is kept."""

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

STATES = ("x-mlp-cache", "x-mlp-data-cache")  # of several caches the one in front counts

WRITTEN = 0.2  # seconds; what waits to be written is counted when it is


class AskedKeys(Struct, frozen=True):
    """What came of each key, in their order.

    Attributes:
        states: how the cache in front came by it; ``no cache`` where none says so.
        answers: the prediction, or the status where there is none.
        ms: the median of their milliseconds.
    """

    states: tuple[str, ...]
    answers: tuple[Any, ...]
    ms: float

    def of(self, state: str) -> int:
        """How many were come by so."""
        return self.states.count(state)


async def ask_keys(http: httpx.AsyncClient, keys: Iterable[Any], headers: Mapping[str, str] = NOTHING) -> AskedKeys:
    """Sends each of `keys`, which may be other inputs too, to `/predict` in a request of its own.

    Args:
        http: a client of the app.
        keys: each is the data of one request.
        headers: sent with each.
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
    """A cache that was asked for each key twice.

    Attributes:
        first, again: what came of it.
        bytes: in the whole store then, as far as it knows.
    """

    first: AskedKeys
    again: AskedKeys
    bytes: int

    @property
    def counts(self) -> str:
        """How many of the first were misses, and of the second hits."""
        return f"{self.first.of('miss')} misses, {self.again.of('hit')} hits"

    def shown(self, before: int = 0) -> str:
        """The same with milliseconds, and what it keeps where the store held `before` bytes already."""
        kept = (self.bytes - before) / 1000
        return f"{self.counts}, {self.first.ms:.1f} and {self.again.ms:.1f} ms, {kept:.1f} kB"


async def cache_trial(cache: Predictor, keys: Sequence[Any], figures: str) -> CacheTrial:
    """Starts `cache` and asks for each of `keys`, then for each again; `figures` is the path of its figures.

    Args:
        cache: what is served: a cache, or what has one inside.
        keys: each is the data of one request.
        figures: the path of the cache's figures, such as ``/cache``.
    """
    async with client(cache) as http:
        first, again = await ask_keys(http, keys), await ask_keys(http, keys)
        await asyncio.sleep(WRITTEN)
        return CacheTrial(first, again, (await http.get(figures)).json()["bytes"] or 0)
