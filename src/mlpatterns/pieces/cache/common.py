"""The options, cache directives and counts of PredictionCache and DataCache."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mlpatterns.interfaces import Metrics
from mlpatterns.stores.cache import CacheUsage
from mlpatterns.user_errors import CompositionError

__all__ = ["STATES", "CacheMetrics", "CacheStats", "Cleared", "check_options", "directives_of"]

DIRECTIVES, NO_DIRECTIVES = frozenset({"no-cache", "no-store"}), frozenset[str]()
MOST_SECONDS = 10 * 366 * 86_400


def check_options(ttl: float, stale_if_error: float, max_entry_bytes: int, store_timeout: float) -> None:
    """Checks the options of a cache.

    Raises:
        CompositionError: an option is out of its range.
    """
    if not (0 < ttl <= MOST_SECONDS and 0 <= stale_if_error <= MOST_SECONDS):
        raise CompositionError("ttl must be more than 0 seconds, stale_if_error 0 or more, and both under ten years")
    if not (max_entry_bytes > 0 and store_timeout > 0):
        raise CompositionError("max_entry_bytes and store_timeout must be greater than 0")


def directives_of(headers: Mapping[str, str]) -> frozenset[str]:
    """The `cache-control` directives of a request (RFC 9111, section 5.2.1) that a cache of answers can follow."""
    if "cache-control" not in headers:
        return NO_DIRECTIVES
    return DIRECTIVES.intersection([word.strip() for word in headers["cache-control"].lower().split(",")])


STATES = ("hit", "miss", "joined", "stale", "bypass")


class CacheStats(Struct, frozen=True):
    """The state of a cache in this process, with counts since its start.

    Attributes:
        identity: the identity of the model whose answers it keeps; None while it is unknown.
        joined: requests that waited for the answer to an equal request of another caller.
        bypass: requests that the cache did not answer, because they disabled it or have no key.
        store_errors: look-ups and writes that failed.
        resting: whether calls to the store are paused, because it failed repeatedly.
        dropped: answers that were not kept, because the store was too slow or failed.
        too_large: answers that were not kept because of their size.
        entries, bytes: the numbers of the entire store; None if the store does not know them.
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
    """How many entries were deleted."""

    cleared: int


class CacheMetrics:
    """The metrics of one cache: requests by how it answered them, failures of its store, and the store's own counts."""

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
        # The store counts these itself, for all caches that share it, so the metrics are set and not incremented.
        self._evictions = metrics.counter("mlpatterns_cache_evictions_total", "Entries a store evicted.", store=store)
        self._damaged = metrics.counter("mlpatterns_cache_damaged_total", "Values that were no entries.", store=store)

    def publish(self, usage: CacheUsage) -> None:
        """Copies the store's own counts into the metrics."""
        if usage.entries is not None:
            self._entries.set(usage.entries)
        if usage.bytes is not None:
            self._bytes.set(usage.bytes)
        self._evictions.set(usage.evictions)
        self._damaged.set(usage.damaged)

    def stats(
        self, *, model: str, store: str, identity: str | None, in_flight: int, usage: CacheUsage, resting: bool
    ) -> CacheStats:
        """All counts in one record."""
        return CacheStats(
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
