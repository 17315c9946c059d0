"""The cache in memory: what goes first, and that what is gone leaves nothing behind."""

from __future__ import annotations

import asyncio

import numpy as np

from contracts.stores import SMALL, entry
from mlpatterns.predictor import InferenceResponse
from mlpatterns.stores.cache import CacheEntry, owned_copy, shareable_view, size_of
from mlpatterns.stores.cache_memory import SLACK, MemoryCache


def test_what_was_used_least_recently_goes_first() -> None:
    async def main() -> None:
        store = await MemoryCache.open("memory://?max_entries=3")
        for key in "abc":
            await store.set_many({key: SMALL}, 60)
        await store.get("a")
        await store.set_many({"d": SMALL}, 60)
        assert set(await store.get_many(list("abcd"))) == {"a", "c", "d"}

    asyncio.run(main())


def test_the_very_entry_comes_back_uncopied() -> None:
    async def main() -> None:
        store = await MemoryCache.open("memory://")
        written = entry(1)
        await store.set_many({"a": written}, 60)
        assert await store.get("a") is written

    asyncio.run(main())


def test_an_entry_larger_than_the_whole_cache_is_not_kept_and_takes_nothing_else_along_for_long() -> None:
    async def main() -> None:
        store = await MemoryCache.open("memory://?max_bytes=8KiB")
        large = CacheEntry(owned_copy(InferenceResponse({"p": np.zeros(9000, np.uint8)}, "m", "1", "d")), 1.0)
        await store.set_many({"large": large}, 60)
        assert await store.get("large") is None
        assert store.usage.bytes == 0

    asyncio.run(main())


def test_its_bytes_are_those_of_what_it_holds() -> None:
    async def main() -> None:
        store = await MemoryCache.open("memory://")
        await store.set_many({"a": entry(1), "b": SMALL}, 60)
        await store.set_many({"a": SMALL}, 60)
        assert store.usage.bytes == 2 * size_of(SMALL.response)
        await store.clear("a")
        assert store.usage.bytes == size_of(SMALL.response)

    asyncio.run(main())


def test_what_was_replaced_or_evicted_long_before_its_time_does_not_pile_up() -> None:
    async def main() -> None:
        store = await MemoryCache.open("memory://?max_entries=10")
        for number in range(5 * SLACK):
            await store.set_many({f"{number % 40}": SMALL}, 3600)
        assert len(store._ends) <= 2 * 10 + SLACK + 1
        assert store.usage.entries == 10

    asyncio.run(main())


def test_a_row_of_a_batch_does_not_keep_the_batch() -> None:
    batch = np.zeros((1000, 4), np.float32)
    whole = InferenceResponse({"p": batch[:1]}, "m", "1", "d")
    assert owned_copy(whole).outputs["p"].base is None
    assert shareable_view(whole).outputs["p"].base is batch
    assert batch.flags.writeable
