"""The contract of the backends of a cache. The test of a backend inherits the class and opens the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from mlpatterns.predictor import InferenceResponse
from mlpatterns.stores import open_store
from mlpatterns.stores.cache import CacheEntry, CacheStore, owned_copy


class CacheStoreContract:
    """Inherit it and define `url`, a fixture with the URL of a new, empty store.

    Attributes:
        shared: whether another store with the same URL finds what one store wrote.
        bounds: the parameters that limit the entries or bytes of the store in its URL; empty if there are none.
    """

    shared = True
    bounds: tuple[str, ...] = ("max_entries=10", "max_bytes=16KiB")

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a fresh store")

    @pytest.fixture
    def run(self, url: str) -> Callable[..., None]:
        def run(work: Callable[[CacheStore], Awaitable[None]], options: str = "") -> None:
            async def main() -> None:
                joint = "&" if "?" in url else "?"
                store: Any = await open_store(CacheStore, f"{url}{joint}{options}" if options else url)
                try:
                    await work(store)
                finally:
                    await store.close()

            asyncio.run(main())

        return run

    def test_what_was_never_written_is_none(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            assert await store.get("a:1") is None
            assert await store.get_many(["a:1", "a:2"]) == {}
            assert await store.get_many([]) == {}

        run(work)

    def test_an_entry_is_read_as_it_was_written_whatever_is_in_it(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            written = entry(1.5)
            await store.set_many({"a:1": written}, 60)
            read = await store.get("a:1")
            assert read is not None
            same(read, written)

        run(work)

    def test_what_is_read_cannot_be_written_to(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            await store.set_many({"a:1": entry(1.5)}, 60)
            read = await store.get("a:1")
            assert read is not None
            for value in read.response.outputs.values():
                assert not value.flags.writeable
            with pytest.raises(TypeError):
                read.response.outputs["new"] = np.zeros(1)  # type: ignore[index]

        run(work)

    def test_a_second_write_replaces_the_first(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            await store.set_many({"a:1": entry(1.0)}, 60)
            await store.set_many({"a:1": entry(2.0)}, 60)
            read = await store.get("a:1")
            assert read is not None
            same(read, entry(2.0))

        run(work)

    def test_many_are_read_at_once_and_only_those_that_there_are(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            await store.set_many({f"a:{n}": entry(n) for n in range(5)}, 60)
            read = await store.get_many(["a:4", "b:4", "a:0", "a:9"])
            assert set(read) == {"a:4", "a:0"}
            same(read["a:4"], entry(4))
            same(read["a:0"], entry(0))

        run(work)

    def test_an_entry_is_gone_when_its_time_is_up_and_a_longer_one_is_not(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            await store.set_many({"a:short": entry(1)}, 0.05)
            await store.set_many({"a:long": entry(2)}, 60)
            await gone(store, "a:short")
            assert await store.get("a:long") is not None
            assert set(await store.get_many(["a:short", "a:long"])) == {"a:long"}

        run(work)

    def test_a_new_write_begins_a_new_time(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            await store.set_many({"a:1": entry(1), "a:2": entry(1)}, 0.05)
            await store.set_many({"a:1": entry(2)}, 60)
            await gone(store, "a:2")
            assert await store.get("a:1") is not None

        run(work)

    def test_clearing_forgets_what_begins_with_the_prefix_and_nothing_else(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            keys = ["a:1", "a:2", "ab:1", "b:a:1", "a*:1", "a?:1", "[a]:1", "a%:1", "a_:1"]
            await store.set_many({key: entry(1) for key in keys}, 60)
            assert await store.clear("a:") == 2
            assert set(await store.get_many(keys)) == set(keys) - {"a:1", "a:2"}
            for prefix in ("a*:", "[a]:", "a?:", "a%:", "a_:"):
                assert await store.clear(prefix) == 1
            assert set(await store.get_many(keys)) == {"ab:1", "b:a:1"}
            assert await store.clear("nothing:") == 0

        run(work)

    def test_many_entries_are_cleared(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            for start in range(0, 3000, 500):
                await store.set_many({f"a:{n}": SMALL for n in range(start, start + 500)}, 60)
            assert await store.clear("a:") == 3000

        run(work)

    def test_writers_at_once_lose_nothing_and_mix_nothing_up(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            async def write(writer: int) -> None:
                for n in range(10):
                    await store.set_many({f"a:{writer}-{n}": entry(100 * writer + n)}, 60)
                    read = await store.get(f"a:{writer}-{n}")
                    assert read is not None
                    same(read, entry(100 * writer + n))

            await asyncio.gather(*(write(writer) for writer in range(10)))
            keys = {f"a:{writer}-{n}": 100 * writer + n for writer in range(10) for n in range(10)}
            read = await store.get_many(list(keys))
            assert set(read) == set(keys)
            for key, value in keys.items():
                same(read[key], entry(value))

        run(work)

    def test_it_holds_no_more_than_its_bounds_and_counts_what_had_to_go(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            for n in range(200):
                await store.set_many({f"a:{n}": entry(n)}, 60)
            left = await store.get_many([f"a:{n}" for n in range(200)])
            assert 1 <= len(left) <= 65
            assert "a:199" in left
            assert "a:0" not in left
            assert store.usage.evictions == 200 - len(left)
            assert store.usage.entries == len(left)
            assert store.usage.bytes is not None

        for bound in self.bounds:
            run(work, bound)
            run(clear_all)

    def test_what_is_past_its_time_takes_no_room_although_nobody_asks_for_it(self, run: Any) -> None:
        async def work(store: CacheStore) -> None:
            await store.set_many({f"a:{n}": entry(n) for n in range(5)}, 0.01)
            await asyncio.sleep(0.02)
            await store.set_many({"b:1": entry(1)}, 60)
            assert store.usage.entries == 1
            assert store.usage.evictions == 0

        if self.bounds:
            run(work)

    def test_what_was_written_is_there_when_it_is_opened_again(self, run: Any) -> None:
        async def write(store: CacheStore) -> None:
            await store.set_many({"a:1": entry(7)}, 60)

        async def read(store: CacheStore) -> None:
            found = await store.get("a:1")
            if self.shared:
                assert found is not None
                same(found, entry(7))
            else:
                assert found is None

        run(write)
        run(read)


def entry(value: float) -> CacheEntry:
    """An entry with tensors of every kind, including the extreme cases of numbers and bytes."""
    outputs: dict[str, np.ndarray] = {
        "probabilities": np.array([[value, -0.0, np.nan, np.inf]], np.float32),
        "empty": np.zeros((0, 4), np.int64),
        "scalar": np.array(value, np.float64),
        "half": np.array([value], np.float16),
        "turned": np.arange(6, dtype=np.uint16).reshape(2, 3).T,
        "flags": np.array([True, False]),
        "text": np.array([[b"\x00\xff", b""], ["日本".encode(), b"'\"\r\n"]], dtype=object),
    }
    parameters = {"text": "日本", "number": 1, "real": 0.5, "none": None, "on": True}
    return CacheEntry(owned_copy(InferenceResponse(outputs, "model", "3", "digest", parameters)), 1e9 + value)


SMALL = CacheEntry(owned_copy(InferenceResponse({"p": np.zeros(1, np.float32)}, "model", "3", "digest")), 1e9)


def same(read: CacheEntry, written: CacheEntry) -> None:
    """Asserts that two entries are equal bit by bit."""
    a, b = read.response, written.response
    assert read.fresh_until == written.fresh_until
    assert (a.model_name, a.model_version, a.identity, a.status, a.degraded) == (
        b.model_name, b.model_version, b.identity, b.status, b.degraded,
    )  # fmt: skip
    assert dict(a.parameters) == dict(b.parameters)
    assert list(a.outputs) == list(b.outputs)
    for name, value in b.outputs.items():
        assert (a.outputs[name].dtype, a.outputs[name].shape) == (value.dtype, value.shape)
        if value.dtype == object:
            assert a.outputs[name].tolist() == value.tolist()
        else:
            assert a.outputs[name].tobytes() == value.tobytes()


async def gone(store: CacheStore, key: str) -> None:
    """Waits until `key` has no entry."""
    for _ in range(500):
        if await store.get(key) is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{key} is still there after five seconds")


async def clear_all(store: CacheStore) -> None:
    await store.clear("")
