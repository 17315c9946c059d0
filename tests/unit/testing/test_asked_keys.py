"""What comes of asking for keys: states, answers and the trial of a cache."""

from __future__ import annotations

import asyncio

from mlpatterns import PredictionCache
from mlpatterns.testing import AskedKeys, CacheTrial, CountingModel, FlakyModel, ask_keys, cache_trial, client

ROWS = [[[1.0]], [[2.0]], [[1.0]]]


def ask(served: CountingModel | PredictionCache) -> AskedKeys:
    async def work() -> AskedKeys:
        async with client(served) as http:
            return await ask_keys(http, ROWS)

    return asyncio.run(work())


def test_each_is_asked_for_by_itself_and_what_the_cache_says_is_told() -> None:
    asked = ask(PredictionCache(CountingModel()))
    assert (asked.states, asked.answers) == (("miss", "miss", "hit"), ([1.0], [2.0], [1.0]))
    assert (asked.of("miss"), asked.of("stale"), asked.ms > 0) == (2, 0, True)


def test_without_a_cache_or_an_answer_that_is_told_too() -> None:
    assert ask(CountingModel()).states == ("no cache",) * 3
    assert ask(FlakyModel()).answers == (503,) * 3


def test_a_trial_asks_twice_and_says_what_is_kept() -> None:
    trial = asyncio.run(cache_trial(PredictionCache(CountingModel()), ROWS[:2], "/cache"))
    assert (trial.counts, trial.bytes > 0) == ("2 misses, 2 hits", True)
    one = AskedKeys(("miss",), (1,), 2.0)
    assert CacheTrial(one, one, 3500).shown(before=1000) == "1 misses, 0 hits, 2.0 and 2.0 ms, 2.5 kB"
