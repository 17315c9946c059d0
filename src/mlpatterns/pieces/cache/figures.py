"""What a cache counts: for `/metrics`, and for the operation that shows it."""

from __future__ import annotations

from msgspec import Struct

from mlpatterns.interfaces import Metrics
from mlpatterns.stores.cache import CacheUsage

__all__ = ["CacheCounts", "CacheFigures", "Cleared"]

STATES = ("hit", "miss", "joined", "stale", "bypass")


class CacheFigures(Struct, frozen=True):
    """A cache, as this process sees it; counts are since its start.

    Attributes:
        identity: of the model it answers for, or None while that is not known.
        joined: requests that waited for the answer to the same question of another.
        bypass: requests that went past the cache: they asked to, or their question has no key.
        store_errors: look-ups and writes that the store failed; `resting`: it is left alone for a while.
        dropped: answers that were not kept because the store did not take them in time.
        too_large: answers that were not kept because of their size.
        entries, bytes: of the whole store, where it knows.
    """

    model: str
    store: str
    identity: str | None
    hit: int
    miss: int
    joined: int
    stale: int
    bypass: int
    in_flight: int
    store_errors: int
    dropped: int
    too_large: int
    damaged: int
    evictions: int
    entries: int | None
    bytes: int | None
    resting: bool


class Cleared(Struct, frozen=True):
    """How many entries were forgotten."""

    cleared: int


class CacheCounts:
    """The metrics of one cache: requests by how it answered them, its store's failures as it met them, and what the
    store holds as it says itself."""

    def __init__(self, metrics: Metrics, piece: str, store: str) -> None:
        requests, what = "mlpatterns_cache_requests_total", "Requests by how a cache answered them."
        self.states = {state: metrics.counter(requests, what, piece=piece, state=state) for state in STATES}
        self.too_large = metrics.counter("mlpatterns_cache_too_large_total", "Answers too large to keep.", piece=piece)
        self.errors = metrics.counter(
            "mlpatterns_cache_store_errors_total", "Calls that a cache's store failed.", piece=piece
        )
        self.dropped = metrics.counter(
            "mlpatterns_cache_dropped_total", "Answers a cache's store did not take.", piece=piece
        )
        self.seconds = metrics.histogram("mlpatterns_cache_lookup_seconds", "Look-ups in a store.", piece=piece)
        self._entries = metrics.gauge("mlpatterns_cache_entries", "Entries in a store.", store=store)
        self._bytes = metrics.gauge("mlpatterns_cache_bytes", "Bytes in a store.", store=store)
        # What the store has counted itself, for all caches that share it: set, not added to.
        self._evictions = metrics.counter("mlpatterns_cache_evictions_total", "Entries a store evicted.", store=store)
        self._damaged = metrics.counter("mlpatterns_cache_damaged_total", "Values that were no entries.", store=store)

    def publish(self, usage: CacheUsage) -> None:
        if usage.entries is not None:
            self._entries.set(usage.entries)
        if usage.bytes is not None:
            self._bytes.set(usage.bytes)
        self._evictions.set(usage.evictions)
        self._damaged.set(usage.damaged)

    def figures(
        self, *, model: str, store: str, identity: str | None, in_flight: int, usage: CacheUsage, resting: bool
    ) -> CacheFigures:
        """All of it in one record."""
        return CacheFigures(
            model,
            store,
            identity,
            **{state: int(count.value) for state, count in self.states.items()},
            in_flight=in_flight,
            store_errors=int(self.errors.value),
            dropped=int(self.dropped.value),
            too_large=int(self.too_large.value),
            damaged=usage.damaged,
            evictions=usage.evictions,
            entries=usage.entries,
            bytes=usage.bytes,
            resting=resting,
        )
