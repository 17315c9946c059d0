"""Guards a CacheStore: it cannot fail a request, and the time of look-ups, the write queue and retries are bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from math import inf

from mlpatterns.errors import Unavailable
from mlpatterns.pieces.cache.common import CacheMetrics, CacheStats, Cleared
from mlpatterns.pieces.cache.keys import ModelKeys
from mlpatterns.predictor import InferenceResponse, Runtime
from mlpatterns.redaction import redact
from mlpatterns.stores.cache import CacheEntry, CacheStore, CacheUsage, owned_copy, shareable_view, size_of

__all__ = ["GuardedStore"]

log = logging.getLogger("mlpatterns")

FAILURES, REST = 5, 5.0  # after FAILURES failures in a row, the store is not called for REST seconds
QUEUE, QUEUE_BYTES = 1000, 16 * 2**20  # bounds of the write queue: entries, and bytes
BATCH = 64  # entries written at once
WRITE_SECONDS, FLUSH_SECONDS, CLEAR_SECONDS = 1.0, 2.0, 30.0


class GuardedStore:
    """The entries of one cache, kept for `ttl` seconds.

    A look-up takes at most `timeout` seconds. Entries are written in the background, from a bounded queue; a look-up
    also finds the entries in the queue. An entry that does not fit into the queue is dropped and counted. After five
    failures in a row the store is not called for five seconds; then one call tries it again.

    Args:
        store: the store that is guarded.
        url: its URL, for log and metrics; a password in it is removed.
        ttl: the seconds for which an entry is kept.
        timeout: the seconds that a look-up may take.
        runtime: the runtime of the piece.

    Attributes:
        instant: whether the store is in this process, so that a look-up needs no wait.
        clears: how often the cache was cleared. An answer that was requested before a clear is not kept.
    """

    def __init__(self, store: CacheStore, url: str, ttl: float, timeout: float, runtime: Runtime) -> None:
        self.instant, self.url = store.instant, redact(url)
        self.metrics = CacheMetrics(runtime.metrics, runtime.path, self.url)
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
        """Whether calls to the store are paused, because it failed."""
        return self._failures >= FAILURES and self._clock.monotonic() < self._rest_until

    @property
    def usage(self) -> CacheUsage:
        """The store's own counts."""
        return self._store.usage

    async def get(self, key: str, deadline: float | None = None) -> CacheEntry | None:
        """The entry; None if there is none, or the store fails or does not answer in time."""
        if self.instant:
            return await self._store.get(key)
        return (await self.get_many([key], deadline)).get(key)

    async def get_many(self, keys: Sequence[str], deadline: float | None = None) -> dict[str, CacheEntry]:
        """The entries that exist, by key, in one round trip; only queued ones if the store fails or is too slow."""
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
            if left > self._timeout:  # otherwise the caller's deadline passed first
                self._failed(error)
        self.metrics.seconds.observe(self._clock.monotonic() - began)
        return found

    def may_keep(self, response: InferenceResponse, identity: str | None, most: int) -> bool:
        """Whether the response may answer other requests too: it is complete and not degraded, comes from the model
        with this identity, and has at most `most` bytes."""
        if response.identity != identity or response.status != "done" or response.degraded:
            return False
        if size_of(response) > most:
            self.metrics.too_large.inc()
            return False
        return True

    async def keep(
        self, key: str, response: InferenceResponse, identity: str | None, *, most: int, fresh: float, clears: int
    ) -> InferenceResponse:
        """Keeps the response if `may_keep` allows it; returns it in a form that several callers can share.

        Args:
            identity: the identity of the predictor that was called.
            most: the maximum size in bytes.
            fresh: the seconds for which the response is fresh.
            clears: the value of the attribute `clears` when the predictor was called.
        """
        if not self.may_keep(response, identity, most):
            return shareable_view(response)
        response = owned_copy(response)
        if clears == self.clears:
            await self.put(key, CacheEntry(response, self._clock.time() + fresh))
        return response

    async def put(self, key: str, entry: CacheEntry) -> None:
        """Writes an entry: immediately if the store is instant, otherwise through the queue."""
        if self.instant:
            await self._store.set_many({key: entry}, self._ttl)
            self.metrics.publish(self._store.usage)
            return
        before = self._waiting.get(key)
        size = size_of(entry.response) - (size_of(before.response) if before is not None else 0)
        if (before is None and len(self._waiting) >= QUEUE) or self._waiting_bytes + size > QUEUE_BYTES:
            self.metrics.dropped.inc()
            return
        self._waiting_bytes += size
        self._waiting[key] = entry
        self._wake.set()
        self._idle.clear()

    async def clear(self, keys: ModelKeys | None) -> Cleared:
        """Deletes every entry of the model that has `keys`, and those in the write queue.

        Raises:
            Unavailable: the model is not known yet, or the store did not answer in time.
        """
        if keys is None:
            raise Unavailable("the model is not ready yet", retry_after=1)
        self.clears += 1
        prefix = f"{keys.namespace}:"
        for key in [key for key in self._waiting if key.startswith(prefix)]:
            self._dequeue(key)
        try:
            async with self._writing, asyncio.timeout(CLEAR_SECONDS):
                cleared = await self._store.clear(prefix)
        except TimeoutError:
            raise Unavailable("the cache's store did not answer in time; try again") from None
        self.metrics.publish(self._store.usage)
        return Cleared(cleared)

    def stats(self, *, model: str, identity: str | None, in_flight: int) -> CacheStats:
        """The counts of the cache in this worker since its start."""
        return self.metrics.stats(
            model=model, store=self.url, identity=identity, in_flight=in_flight, usage=self.usage, resting=self.resting
        )

    async def stop(self) -> None:
        """Writes the rest of the queue; what is left after two seconds is dropped and counted."""
        if self._waiting or self._batch:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._idle.wait()
        self.metrics.dropped.inc(len(self._waiting))

    # ---- the write queue ----

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            async with self._writing:
                self._batch = {key: self._dequeue(key) for key in list(self._waiting)[:BATCH]}
                try:
                    await self._write_batch(self._batch)
                finally:
                    self._batch = {}
            self.metrics.publish(self._store.usage)
            if not self._waiting:
                self._wake.clear()
                self._idle.set()

    def _dequeue(self, key: str) -> CacheEntry:
        entry = self._waiting.pop(key)
        self._waiting_bytes -= size_of(entry.response)
        return entry

    async def _write_batch(self, batch: dict[str, CacheEntry]) -> None:
        if not batch:
            return  # the queue was cleared meanwhile
        if not self._may_try():
            self.metrics.dropped.inc(len(batch))
            return
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._store.set_many(batch, self._ttl)
            self._succeeded()
        except Exception as error:
            self.metrics.dropped.inc(len(batch))
            self._failed(error)

    # ---- failures of the store ----

    def _may_try(self) -> bool:
        """Whether the store may be called. After a pause, one call gets True and tries the store again."""
        if self._failures < FAILURES:
            return True
        now = self._clock.monotonic()
        if now < self._rest_until:
            return False
        self._rest_until = now + REST
        return True

    def _failed(self, error: Exception) -> None:
        self.metrics.errors.inc()
        self._failures += 1
        if self._failures >= FAILURES:
            self._rest_until = self._clock.monotonic() + REST
        if self._failures == FAILURES:
            why = str(error) or type(error).__name__
            log.warning("the cache at %s fails (%s); trying it every %.0f s until it answers", self.url, why, REST)

    def _succeeded(self) -> None:
        if self._failures >= FAILURES:
            log.warning("the cache at %s answers again", self.url)
        self._failures = 0
