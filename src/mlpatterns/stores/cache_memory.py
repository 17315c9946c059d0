"""The CacheStore of one process: `memory://?max_entries=10000&max_bytes=64MiB`.

Entries are lost when the process ends. They are the response objects themselves, with read-only tensors; nothing is
encoded. The least recently used entry is evicted first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from time import monotonic
from typing import Self

from mlpatterns.stores.cache import CacheEntry, CacheUsage, size_of
from mlpatterns.stores.urls import bounds_of, split_url
from mlpatterns.user_errors import SettingsError

__all__ = ["MemoryCache"]

BOUNDS = {"max_entries": 10_000, "max_bytes": 64 * 2**20}
SLACK = 1024  # stale entries that the heap may have beyond the number of valid ones

Slot = tuple[CacheEntry, float, int]  # the entry, when it expires, its bytes


class MemoryCache:
    """An LRU cache, limited by entries and bytes. The cost of a look-up does not depend on the number of entries."""

    instant = True

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self._slots: OrderedDict[str, Slot] = OrderedDict()
        self._ends: list[tuple[float, str]] = []  # a heap; replaced and evicted entries stay in it for a while
        self._bytes = self._evictions = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        base, given = split_url(url)
        if base != "memory://":
            raise SettingsError(f"a cache in memory has no address: write memory://, not {base}")
        return cls(**bounds_of(url, given, BOUNDS))

    async def close(self) -> None:
        self._slots.clear()
        self._ends.clear()
        self._bytes = 0

    @property
    def usage(self) -> CacheUsage:
        return CacheUsage(len(self._slots), self._bytes, self._evictions)

    async def get(self, key: str) -> CacheEntry | None:
        slot = self._slots.get(key)
        if slot is None:
            return None
        if slot[1] <= monotonic():
            self._forget(key)
            return None
        self._slots.move_to_end(key)
        return slot[0]

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheEntry]:
        return {key: entry for key in keys if (entry := await self.get(key)) is not None}

    async def set_many(self, entries: Mapping[str, CacheEntry], ttl: float) -> None:
        now = monotonic()
        for key, entry in entries.items():
            self._set(key, entry, now + ttl)
        self._expire(now)
        while len(self._slots) > self.max_entries or self._bytes > self.max_bytes:
            self._forget(next(iter(self._slots)))
            self._evictions += 1

    async def clear(self, prefix: str) -> int:
        found = [key for key in self._slots if key.startswith(prefix)]
        for key in found:
            self._forget(key)
        return len(found)

    def _set(self, key: str, entry: CacheEntry, ends: float) -> None:
        if key in self._slots:
            self._forget(key)
        size = size_of(entry.response)
        self._slots[key] = (entry, ends, size)
        self._bytes += size
        heappush(self._ends, (ends, key))

    def _forget(self, key: str) -> None:
        self._bytes -= self._slots.pop(key)[2]

    def _expire(self, now: float) -> None:
        """Removes expired entries, so that they take no memory if their keys are never requested again."""
        if len(self._ends) > 2 * len(self._slots) + SLACK:
            self._ends = [(ends, key) for key, (_, ends, _) in self._slots.items()]
            heapify(self._ends)
        while self._ends and self._ends[0][0] <= now:
            ends, key = heappop(self._ends)
            slot = self._slots.get(key)
            if slot is not None and slot[1] == ends:
                self._forget(key)
