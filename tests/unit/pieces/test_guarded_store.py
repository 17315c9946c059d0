"""GuardedStore: a store that fails or is slow costs a bounded time, is counted, and fails no request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np
import pytest

from contracts.stores import SMALL
from core import runtime_of
from mlpatterns.base import BasePredictor
from mlpatterns.errors import Unavailable
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.cache import guarded_store
from mlpatterns.pieces.cache.guarded_store import FAILURES, QUEUE, QUEUE_BYTES, REST, GuardedStore
from mlpatterns.pieces.cache.keys import ModelKeys
from mlpatterns.predictor import InferenceResponse
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores.cache import CacheEntry, CacheUsage
from mlpatterns.testing import FakeClock

OF_A = ModelKeys("identity", "a", "1")
OF_A.namespace = "a"


class Double:
    """A store in a dict that fails, or takes its time, as a test says."""

    instant = False
    usage = CacheUsage()

    def __init__(self) -> None:
        self.entries: dict[str, CacheEntry] = {}
        self.calls = self.writes = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def _call(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        await self.gate.wait()

    async def get(self, key: str) -> CacheEntry | None:
        await self._call()
        return self.entries.get(key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheEntry]:
        await self._call()
        return {key: self.entries[key] for key in keys if key in self.entries}

    async def set_many(self, entries: Mapping[str, CacheEntry], ttl: float) -> None:
        await self._call()
        self.writes += 1
        self.entries.update(entries)

    async def clear(self, prefix: str) -> int:
        await self._call()
        found = [key for key in self.entries if key.startswith(prefix)]
        for key in found:
            del self.entries[key]
        return len(found)

    async def close(self) -> None: ...


def run(work: Callable[[GuardedStore, Double, FakeClock], Awaitable[None]], timeout: float = 0.01) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with running(
            BasePredictor("none"), settings=Settings(), clock=clock, metrics=ProcessMetrics()
        ) as runtime:
            store = Double()
            await work(GuardedStore(store, "double://:pw@host", 60, timeout, runtime_of(runtime)), store, clock)

    asyncio.run(main())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_what_was_put_is_written_afterwards_and_found() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        await guarded.put("a", SMALL)
        assert store.entries == {}
        assert await guarded.get("a") is SMALL
        await settle()
        assert store.entries == {"a": SMALL}
        assert await guarded.get("a") is SMALL
        assert guarded.url == "double://:***@host"

    run(work)


def test_what_waits_is_written_together() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        for number in range(100):
            await guarded.put(str(number), SMALL)
        await settle()
        assert (len(store.entries), store.writes) == (100, 2)

    run(work)


def test_a_failing_look_up_is_none_and_counted() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        for error in (Unavailable("down"), RuntimeError("a fault of the store")):
            store.error = error
            assert await guarded.get("a") is None
        assert guarded.metrics.errors.value == 2

    run(work)


def test_a_slow_look_up_is_given_up_after_the_time_it_may_take_and_counted() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.gate.clear()
        assert await guarded.get("a", clock.monotonic() + 60) is None
        assert guarded.metrics.errors.value == 1

    run(work)


def test_a_caller_with_less_time_waits_no_longer_than_that_and_it_is_not_the_stores_fault() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.gate.clear()
        assert await guarded.get("a", clock.monotonic() + 0.01) is None
        assert guarded.metrics.errors.value == 0

    run(work, timeout=600)


def test_a_caller_who_is_cancelled_is_cancelled() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.gate.clear()
        asking = asyncio.create_task(guarded.get("a"))
        await settle()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert guarded.metrics.errors.value == 0

    run(work, timeout=600)


def test_a_store_that_keeps_failing_is_left_alone_then_tried_by_one_call_until_it_answers() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.entries["a"] = SMALL
        store.error = Unavailable("down")
        for _ in range(FAILURES):
            assert await guarded.get("a") is None
        for _ in range(100):
            assert await guarded.get("a") is None
        assert store.calls == FAILURES
        await clock.advance(REST)
        for _ in range(10):
            assert await guarded.get("a") is None
        assert store.calls == FAILURES + 1
        store.error = None
        await clock.advance(REST)
        assert await guarded.get("a") is SMALL
        assert await guarded.get("a") is SMALL
        assert guarded.metrics.errors.value == FAILURES + 1

    run(work)


def test_it_says_whether_it_is_left_alone() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        said = [guarded.resting]
        store.error = Unavailable("down")
        for _ in range(FAILURES):
            await guarded.get("a")
        said.append(guarded.resting)
        await clock.advance(REST)
        said.append(guarded.resting)
        assert said == [False, True, False]

    run(work)


def test_what_is_being_written_is_found_and_a_second_write_of_its_key_comes_after_it() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        newer = CacheEntry(SMALL.response, 2.0)
        store.gate.clear()
        await guarded.put("a", SMALL)
        await settle()
        assert await guarded.get("a") is SMALL
        await guarded.put("a", newer)
        assert await guarded.get("a") is newer
        store.gate.set()
        await settle()
        assert store.entries == {"a": newer}

    run(work)


def test_while_one_call_tries_the_others_do_not_wait_with_it() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.error = Unavailable("down")
        for _ in range(FAILURES):
            await guarded.get("a")
        await clock.advance(REST)
        store.error = None
        store.gate.clear()
        trying = asyncio.create_task(guarded.get("a"))
        await settle()
        assert await guarded.get("a") is None
        assert store.calls == FAILURES + 1
        store.gate.set()
        await trying
        assert not guarded.resting

    run(work, timeout=600)


def test_the_log_says_once_that_a_store_fails_and_once_that_it_answers_again(caplog: pytest.LogCaptureFixture) -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.error = Unavailable("down")
        for _ in range(3 * FAILURES):
            await guarded.get("a")
            await clock.advance(REST)
        store.error = None
        await guarded.get("a")

    run(work)
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        "the cache at double://:***@host fails",
        "the cache at double://:***@host answers again",
    ]


def test_writes_that_fail_are_dropped_and_counted() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.error = Unavailable("down")
        for number in range(10):
            await guarded.put(str(number), SMALL)
        await settle()
        assert (guarded.metrics.dropped.value, guarded.metrics.errors.value) == (10, 1)
        store.error = None
        await guarded.put("a", SMALL)
        await settle()
        assert set(store.entries) == {"a"}

    run(work)


def test_what_the_queue_does_not_hold_is_dropped_and_counted_and_nobody_waits() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.gate.clear()
        for number in range(QUEUE + 5):
            await guarded.put(str(number), SMALL)
        assert guarded.metrics.dropped.value == 5
        store.gate.set()

    run(work)


def test_the_queue_is_bounded_in_bytes_too() -> None:
    large = CacheEntry(InferenceResponse({"p": np.zeros(QUEUE_BYTES // 3, np.uint8)}, "m", "1", "d"), 1.0)

    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        for number in range(5):
            await guarded.put(str(number), large)
        assert guarded.metrics.dropped.value == 3
        await settle()
        await guarded.put("after", large)
        await settle()
        assert set(store.entries) == {"0", "1", "after"}

    run(work)


def test_at_stop_what_waits_is_written() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        for number in range(200):
            await guarded.put(str(number), SMALL)
        await guarded.stop()
        assert len(store.entries) == 200
        assert guarded.metrics.dropped.value == 0

    run(work)


def test_at_stop_a_store_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_store, "FLUSH_SECONDS", 0.01)

    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.gate.clear()
        for number in range(200):
            await guarded.put(str(number), SMALL)
        await guarded.stop()
        assert store.entries == {}
        assert guarded.metrics.dropped.value >= 200 - 64  # the others are being tried

    run(work)


def test_clearing_forgets_what_waits_to_be_written_too_and_leaves_the_rest_to_be_written() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.entries.update({"a:1": SMALL, "b:1": SMALL})
        for key in ("a:2", "b:2"):
            await guarded.put(key, SMALL)
        assert (await guarded.clear(OF_A)).cleared == 1
        await settle()
        assert set(store.entries) == {"b:1", "b:2"}

    run(work)


def test_a_clearing_that_fails_says_so() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.error = Unavailable("down")
        with pytest.raises(Unavailable):
            await guarded.clear(OF_A)
        with pytest.raises(Unavailable, match="not ready"):
            await guarded.clear(None)

    run(work)


def test_many_are_looked_up_in_one_round_trip_those_that_wait_to_be_written_without_any() -> None:
    async def work(guarded: GuardedStore, store: Double, clock: FakeClock) -> None:
        store.entries.update({"a": SMALL, "b": SMALL})
        assert set(await guarded.get_many(["a", "b", "c"])) == {"a", "b"}
        assert store.calls == 1
        store.gate.clear()
        await guarded.put("d", SMALL)
        calls = store.calls
        assert set(await guarded.get_many(["d"])) == {"d"}
        assert store.calls == calls
        store.error = Unavailable("down")
        assert set(await guarded.get_many(["a", "d"])) == {"d"}
        assert guarded.metrics.errors.value == 1

    run(work)
