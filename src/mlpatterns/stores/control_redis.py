"""The ControlStore in Redis, for all workers and replicas: `redis://host:6379/0?prefix=shop:`, or `rediss://` for TLS.

After a restart, Redis has only what it was configured to save. Set `appendonly yes`, and `appendfsync always` if not
even the last second may be lost. If a cache uses the same Redis, set `maxmemory-policy volatile-lru`: then Redis evicts
the entries of the cache, which expire, and keeps the documents, which do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct

from mlpatterns.interfaces import Document
from mlpatterns.redaction import redact
from mlpatterns.stores.control_codec import KEPT, conflict, damaged, document, encode_value
from mlpatterns.stores.redis_connection import answering, connect, redis_place
from mlpatterns.user_errors import SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisControl"]

PREFIX = "mlpatterns-control:"  # does not begin with the prefix of a cache, which may be cleared
# A document is a list of its last changes, newest first, each "REVISION SECONDS JSON". It has one key, so one script
# can read, compare and write it atomically.
PUT = """
local newest = redis.call('LINDEX', KEYS[1], 0)
local stored = newest and tonumber(string.match(newest, '^(%d+) ')) or 0
if stored ~= tonumber(ARGV[1]) then return {stored, ''} end
local now = redis.call('TIME')
local head = string.format('%d %s.%06d ', stored + 1, now[1], now[2])
redis.call('LPUSH', KEYS[1], head .. ARGV[2])
redis.call('LTRIM', KEYS[1], 0, tonumber(ARGV[3]) - 1)
return {stored, head .. ARGV[2]}
"""


class RedisDocument(Struct, frozen=True):
    """The JSON of one change."""

    by: str
    value: msgspec.Raw


class RedisControl:
    """Documents as Redis lists. The name of a list is `prefix` followed by the key."""

    def __init__(self, redis: Redis, prefix: str, where: str) -> None:
        self._redis, self._prefix, self._where = redis, prefix, where
        self._checked = False

    @classmethod
    async def open(cls, url: str) -> Self:
        place, prefix = redis_place(url, "control")
        # No retries: if the first attempt of a write succeeded, a second attempt would fail with a conflict.
        return cls(connect(place, "control", retries=0), PREFIX if prefix is None else prefix, redact(place))

    async def close(self) -> None:
        await self._redis.aclose()

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        async def read() -> list[bytes | None]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.lindex(self._prefix + key, 0)
                return await pipe.execute()

        lines = await self._twice(read) if keys else []
        return {key: _document(key, line) for key, line in zip(keys, lines, strict=True) if line is not None}

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        encoded = encode_value(key, value, by)
        written = msgspec.json.encode(RedisDocument(by, msgspec.Raw(encoded)))
        revision = 0 if expected is None else expected or -1  # to the script, 0 means "no document yet"
        await self._twice(self._redis.ping)  # reconnects now if the connection was lost
        with answering("the control store"):
            answer: Any = self._redis.eval(PUT, 1, self._prefix + key, revision, written, KEPT)
            stored, line = await answer
        if not line:
            raise conflict(key, stored, expected)
        return _document(key, line)

    async def history(self, key: str, limit: int = 20) -> list[Document[Any]]:
        found = await self._twice(lambda: self._redis.lrange(self._prefix + key, 0, limit - 1)) if limit > 0 else []
        return [_document(key, line) for line in found]

    async def _twice(self, read: Callable[[], Any]) -> Any:
        """Returns the result of `read`. If the connection was lost, connects again and reads once more."""
        from redis.exceptions import ConnectionError as ConnectionLost

        with answering("the control store"):
            if not self._checked:
                await self._check()
            try:
                return await read()
            except ConnectionLost:
                return await read()

    async def _check(self) -> None:
        """Checks that Redis does not evict documents.

        Raises:
            SettingsError: its eviction policy may remove documents.
        """
        from redis.exceptions import ResponseError

        try:
            memory: Any = await self._redis.info("memory")
        except ResponseError:
            memory = {}  # Redis answers, but this user may not run INFO
        policy = str(memory.get("maxmemory_policy"))
        if memory.get("maxmemory") and policy.startswith("allkeys"):
            raise SettingsError(
                f"Redis at {self._where} may delete the documents of the control store when it is full "
                f"(maxmemory-policy {policy}): set volatile-lru or noeviction there"
            )
        self._checked = True


def _document(key: str, line: bytes) -> Document[Any]:
    try:
        revision, at, encoded = line.split(b" ", 2)
        written = msgspec.json.decode(encoded, type=RedisDocument)
        return document(key, bytes(written.value), int(revision), written.by, float(at))
    except (ValueError, msgspec.DecodeError) as error:
        raise damaged(key) from error
