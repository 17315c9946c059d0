"""A CacheStore as a cache may use it: what it costs is bounded, and its failures cost no request anything."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from math import inf

from mlpatterns.pieces.cache_figures import ShelfCounts
from mlpatterns.predictor import Runtime
from mlpatterns.redaction import redact
from mlpatterns.stores.cache import CacheEntry, CacheStore, CacheUsage, size_of

__all__ = ["Shelf"]

log = logging.getLogger("mlpatterns")

FAILURES, REST = 5, 5.0  # after so many failures in a row the store is left alone for so many seconds
QUEUE, QUEUE_BYTES = 1000, 16 * 2**20  # what may wait to be written
BATCH = 64  # entries written at once
WRITE_SECONDS, FLUSH_SECONDS, CLEAR_SECONDS = 1.0, 2.0, 30.0

Written = tuple[str, CacheEntry]


class Shelf:
    """Where a cache keeps its entries for `ttl` seconds.

    A look-up takes `timeout` seconds at most. Writes wait in a bounded queue until after the answer; what does not fit
    is dropped and counted. A store that fails again and again is left alone for a while, then tried by one call.

    Attributes:
        instant: there is no wait at all, so an entry may be looked up before anything else.
    """

    def __init__(self, store: CacheStore, url: str, ttl: float, timeout: float, runtime: Runtime, name: str) -> None:
        self.instant, self.url = store.instant, redact(url)
        self.counts = ShelfCounts(runtime.metrics, name, self.url)
        self._store, self._ttl, self._timeout, self._clock = store, ttl, timeout, runtime.clock
        self._queue: asyncio.Queue[Written] = asyncio.Queue(QUEUE)
        self._queued_bytes = self._failures = 0
        self._rest_until = -inf
        self._writing = asyncio.Lock()
        if not self.instant:
            runtime.spawn(f"cache writes of {name}", self._write)

    @property
    def resting(self) -> bool:
        """Whether the store is left alone now."""
        return self._failures >= FAILURES and self._clock.monotonic() < self._rest_until

    @property
    def usage(self) -> CacheUsage:
        """What the store says of itself."""
        return self._store.usage

    async def get(self, key: str, deadline: float | None = None) -> CacheEntry | None:
        """The entry, or None where there is none or the store does not say in time."""
        if self.instant:
            return await self._store.get(key)
        if not self._may_try():
            return None
        began = self._clock.monotonic()
        left = inf if deadline is None else deadline - began
        entry = None
        try:
            async with asyncio.timeout(min(self._timeout, left)):
                entry = await self._store.get(key)
            self._succeeded()
        except Exception as error:
            if left > self._timeout:  # or it was the caller who had no time
                self._failed(error)
        self.counts.seconds.observe(self._clock.monotonic() - began)
        return entry

    async def put(self, key: str, entry: CacheEntry) -> None:
        """Keeps an entry: at once, or when there is time."""
        if self.instant:
            await self._store.set_many({key: entry}, self._ttl)
            self.counts.publish(self._store.usage)
            return
        size = size_of(entry.response)
        if self._queue.full() or self._queued_bytes + size > QUEUE_BYTES:
            self.counts.dropped.inc()
            return
        self._queued_bytes += size
        self._queue.put_nowait((key, entry))

    async def clear(self, prefix: str) -> int:
        """Forgets what begins with `prefix`, what waits to be written too.

        Raises:
            Unavailable, TimeoutError: the store does not do it.
        """
        async with self._writing:
            for key, entry in self._take(QUEUE):
                if not key.startswith(prefix):
                    await self.put(key, entry)
            async with asyncio.timeout(CLEAR_SECONDS):
                cleared = await self._store.clear(prefix)
        self.counts.publish(self._store.usage)
        return cleared

    async def stop(self) -> None:
        """Writes what waits, within a bound."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._queue.join()
        self.counts.dropped.inc(len(self._take(QUEUE)))

    # ---- writing ----

    async def _write(self) -> None:
        while True:
            first = await self._queue.get()
            async with self._writing:
                batch = dict([first, *self._take(BATCH - 1)])
                try:
                    await self._write_batch(batch)
                finally:
                    self._done(first)
            self.counts.publish(self._store.usage)

    async def _write_batch(self, batch: dict[str, CacheEntry]) -> None:
        if not self._may_try():
            self.counts.dropped.inc(len(batch))
            return
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._store.set_many(batch, self._ttl)
            self._succeeded()
        except Exception as error:
            self.counts.dropped.inc(len(batch))
            self._failed(error)

    def _take(self, most: int) -> list[Written]:
        """What waits, up to so many."""
        taken: list[Written] = []
        while len(taken) < most and not self._queue.empty():
            taken.append(self._queue.get_nowait())
            self._done(taken[-1])
        return taken

    def _done(self, written: Written) -> None:
        self._queued_bytes -= size_of(written[1].response)
        self._queue.task_done()

    # ---- patience ----

    def _may_try(self) -> bool:
        """False while the store is left alone; when that time is over, True for one call, which finds out."""
        if self._failures < FAILURES:
            return True
        now = self._clock.monotonic()
        if now < self._rest_until:
            return False
        self._rest_until = now + REST
        return True

    def _failed(self, error: Exception) -> None:
        self.counts.errors.inc()
        self._failures += 1
        if self._failures >= FAILURES:
            self._rest_until = self._clock.monotonic() + REST
        if self._failures == FAILURES:
            why = str(error) or type(error).__name__
            log.warning("the cache at %s fails (%s): it is tried every %.0f s until it answers", self.url, why, REST)

    def _succeeded(self) -> None:
        if self._failures >= FAILURES:
            log.warning("the cache at %s answers again", self.url)
        self._failures = 0
