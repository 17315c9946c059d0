"""A CacheStore as a cache may use it: what it costs is bounded, and its failures cost no request anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from math import inf

from mlpatterns.errors import Unavailable
from mlpatterns.pieces.cache.figures import CacheCounts, CacheFigures, Cleared
from mlpatterns.pieces.cache.keys import Keys
from mlpatterns.predictor import InferenceResponse, Runtime
from mlpatterns.redaction import redact
from mlpatterns.stores.cache import CacheEntry, CacheStore, CacheUsage, kept, sealed, size_of

__all__ = ["Shelf"]

log = logging.getLogger("mlpatterns")

FAILURES, REST = 5, 5.0  # after so many failures in a row the store is left alone for so many seconds
QUEUE, QUEUE_BYTES = 1000, 16 * 2**20  # what may wait to be written
BATCH = 64  # entries written at once
WRITE_SECONDS, FLUSH_SECONDS, CLEAR_SECONDS = 1.0, 2.0, 30.0


class Shelf:
    """Where a cache keeps its entries for `ttl` seconds.

    A look-up takes `timeout` seconds at most. Writes wait until after the answer, within bounds, and are found while
    they wait; what does not fit is dropped and counted. A store that fails again and again is left alone for a while,
    then tried by one call.

    Attributes:
        instant: there is no wait at all, so an entry may be looked up before anything else.
        clears: how often all was forgotten: what was asked before that is not kept after it.
    """

    def __init__(self, store: CacheStore, url: str, ttl: float, timeout: float, runtime: Runtime) -> None:
        self.instant, self.url = store.instant, redact(url)
        self.counts = CacheCounts(runtime.metrics, runtime.path, self.url)
        self._store, self._ttl, self._timeout, self._clock = store, ttl, timeout, runtime.clock
        self._waiting: dict[str, CacheEntry] = {}  # to be written, in order
        self._batch: dict[str, CacheEntry] = {}  # being written
        self._waiting_bytes = self._failures = self.clears = 0
        self._rest_until = -inf
        self._writing, self._wake, self._idle = asyncio.Lock(), asyncio.Event(), asyncio.Event()
        if not self.instant:
            runtime.keep("write to the cache", self._write)

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
        return (await self.get_many([key], deadline)).get(key)

    async def get_many(self, keys: Sequence[str], deadline: float | None = None) -> dict[str, CacheEntry]:
        """Those of the entries that there are, in one round trip, as far as the store says in time."""
        if self.instant:
            return await self._store.get_many(keys)
        found = {key: entry for key in keys if (entry := self._waiting.get(key) or self._batch.get(key)) is not None}
        asked = [key for key in keys if key not in found]
        if not asked or not self._may_try():
            return found
        began = self._clock.monotonic()
        left = inf if deadline is None else deadline - began
        try:
            async with asyncio.timeout(min(self._timeout, left)):
                if len(asked) == 1:
                    entry = await self._store.get(asked[0])
                    found |= {asked[0]: entry} if entry is not None else {}
                else:
                    found |= await self._store.get_many(asked)
            self._succeeded()
        except Exception as error:
            if left > self._timeout:  # or it was the caller who had no time
                self._failed(error)
        self.counts.seconds.observe(self._clock.monotonic() - began)
        return found

    def may_keep(self, response: InferenceResponse, identity: str | None, most: int) -> bool:
        """Whether others may be given an answer to what was asked of `identity`: a final one of that very model, in
        full, and of no more than `most` bytes."""
        if response.identity != identity or response.status != "done" or response.degraded:
            return False
        if size_of(response) > most:
            self.counts.too_large.inc()
            return False
        return True

    async def keep(
        self, key: str, response: InferenceResponse, identity: str | None, *, most: int, fresh: float, clears: int
    ) -> InferenceResponse:
        """The response, which others may be given too, kept if it may be.

        Args:
            identity: of who was asked; `most`, see `may_keep`.
            fresh: seconds that it is.
            clears: how often all had been forgotten when it was asked for.
        """
        if not self.may_keep(response, identity, most):
            return sealed(response)
        response = kept(response)
        if clears == self.clears:  # or it was asked before all was forgotten
            await self.put(key, CacheEntry(response, self._clock.time() + fresh))
        return response

    async def put(self, key: str, entry: CacheEntry) -> None:
        """Keeps an entry: at once, or when there is time."""
        if self.instant:
            await self._store.set_many({key: entry}, self._ttl)
            self.counts.publish(self._store.usage)
            return
        before = self._waiting.get(key)
        size = size_of(entry.response) - (size_of(before.response) if before is not None else 0)
        if (before is None and len(self._waiting) >= QUEUE) or self._waiting_bytes + size > QUEUE_BYTES:
            self.counts.dropped.inc()
            return
        self._waiting_bytes += size
        self._waiting[key] = entry
        self._wake.set()
        self._idle.clear()

    async def clear(self, keys: Keys | None) -> Cleared:
        """Forgets all of `keys`, what waits to be written too.

        Raises:
            Unavailable: they are not known yet, or the store does not do it.
        """
        if keys is None:
            raise Unavailable("the model is not ready yet", retry_after=1)
        self.clears += 1
        prefix = f"{keys.namespace}:"
        for key in [key for key in self._waiting if key.startswith(prefix)]:
            self._take(key)
        try:
            async with self._writing, asyncio.timeout(CLEAR_SECONDS):
                cleared = await self._store.clear(prefix)
        except TimeoutError:
            raise Unavailable("the cache's store did not answer in time; try again") from None
        self.counts.publish(self._store.usage)
        return Cleared(cleared)

    def figures(self, *, model: str, identity: str | None, in_flight: int) -> CacheFigures:
        """What the cache did in this worker."""
        return self.counts.figures(
            model=model, store=self.url, identity=identity, in_flight=in_flight, usage=self.usage, resting=self.resting
        )

    async def stop(self) -> None:
        """Writes what waits, within a bound."""
        if self._waiting or self._batch:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._idle.wait()
        self.counts.dropped.inc(len(self._waiting))

    # ---- writing ----

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            async with self._writing:
                self._batch = {key: self._take(key) for key in list(self._waiting)[:BATCH]}
                try:
                    await self._write_batch(self._batch)
                finally:
                    self._batch = {}
            self.counts.publish(self._store.usage)
            if not self._waiting:
                self._wake.clear()
                self._idle.set()

    def _take(self, key: str) -> CacheEntry:
        entry = self._waiting.pop(key)
        self._waiting_bytes -= size_of(entry.response)
        return entry

    async def _write_batch(self, batch: dict[str, CacheEntry]) -> None:
        if not batch:
            return  # it was cleared while it waited
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
