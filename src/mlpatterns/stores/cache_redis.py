"""The CacheStore in Redis, for all workers and replicas: `redis://host:6379/0?prefix=shop:`, or `rediss://` for TLS.

Redis itself deletes expired entries, and chooses what to evict when it is full: set `maxmemory` and
`maxmemory-policy allkeys-lru`. After a restart, Redis has only what it was configured to save; a cache
needs no persistence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from mlpatterns.redaction import redact
from mlpatterns.stores.cache import CacheEntry, CacheUsage
from mlpatterns.stores.cache_codec import decode_entry, encode_entry
from mlpatterns.stores.redis_connection import answering, connect, redis_place
from mlpatterns.tensors import DamagedData, Unstorable

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisCache"]

PREFIX = "mlpatterns:"
CLEARED = 1000  # keys that one step of `clear` scans and deletes
_GLOB = re.compile(r"([\\*?\[\]])")


class RedisCache:
    """Entries as Redis values, each named by `prefix` and its key. While the server is down, each call tries to connect
    again."""

    instant = False

    def __init__(self, redis: Redis, prefix: str, where: str) -> None:
        self._redis, self._prefix, self._where = redis, prefix, where
        self._damaged = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        place, prefix = redis_place(url, "a cache")
        return cls(connect(place, "a cache", retries=1), PREFIX if prefix is None else prefix, redact(place))

    async def close(self) -> None:
        await self._redis.aclose()

    @property
    def usage(self) -> CacheUsage:
        return CacheUsage(damaged=self._damaged)

    async def get(self, key: str) -> CacheEntry | None:
        with answering(f"the cache at {self._where}"):
            value = await self._redis.get(self._prefix + key)
        return self._read(key, value)

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheEntry]:
        if not keys:
            return {}
        with answering(f"the cache at {self._where}"):
            values = await self._redis.mget([self._prefix + key for key in keys])
        return {key: entry for key, value in zip(keys, values, strict=True) if (entry := self._read(key, value))}

    async def set_many(self, entries: Mapping[str, CacheEntry], ttl: float) -> None:
        milliseconds = max(1, int(ttl * 1000))
        pipeline = self._redis.pipeline(transaction=False)
        for key, entry in entries.items():
            try:
                pipeline.set(self._prefix + key, encode_entry(key, entry), px=milliseconds)
            except Unstorable:
                self._damaged += 1
        with answering(f"the cache at {self._where}"):
            await pipeline.execute()

    async def clear(self, prefix: str) -> int:
        pattern, cleared = _GLOB.sub(r"\\\1", self._prefix + prefix) + "*", 0
        with answering(f"the cache at {self._where}"):
            found: list[Any] = []
            async for name in self._redis.scan_iter(match=pattern, count=CLEARED):
                found.append(name)
                if len(found) == CLEARED:
                    cleared += await self._redis.unlink(*found)
                    found.clear()
            return cleared + (await self._redis.unlink(*found) if found else 0)

    def _read(self, key: str, value: bytes | str | None) -> CacheEntry | None:
        if not isinstance(value, bytes):  # redis-py returns `str` only if a connection decodes responses; ours does not
            return None
        try:
            return decode_entry(key, value)
        except DamagedData:
            self._damaged += 1
            return None
