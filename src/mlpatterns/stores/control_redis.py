"""The ControlStore in Redis, for all workers and replicas: `redis://host:6379/0?prefix=shop:`, or `rediss://` for TLS.

What survives Redis's own end is what it was told to save: set `appendonly yes`, with `appendfsync always` where not
even the last second may be lost. Where it shares a Redis with a cache, set `maxmemory-policy volatile-lru`: entries of
a cache have an end and may go, documents have none and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct

from mlpatterns.errors import SettingsError, StoreDown, Unavailable
from mlpatterns.predictor import Change, Document
from mlpatterns.redaction import redact
from mlpatterns.stores.control_codec import KEPT, conflict, damaged, decode_value, encode_value
from mlpatterns.stores.redis_connection import connect, redis_place

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisControl"]

PREFIX = "mlpatterns-control:"  # not below that of a cache, which may be cleared
# A document is a list of its last changes, newest first, each "REVISION SECONDS JSON": one key, so that one step reads,
# compares and writes.
PUT = """
local newest = redis.call('LINDEX', KEYS[1], 0)
local stored = newest and tonumber(string.match(newest, '^(%d+) ')) or 0
if stored ~= tonumber(ARGV[1]) then return {stored, 0} end
local now = redis.call('TIME')
local head = string.format('%d %s.%06d ', stored + 1, now[1], now[2])
redis.call('LPUSH', KEYS[1], head .. ARGV[2])
redis.call('LTRIM', KEYS[1], 0, tonumber(ARGV[3]) - 1)
return {stored, 1}
"""


class Written(Struct, frozen=True):
    """The JSON of a change."""

    by: str
    value: msgspec.Raw


class RedisControl:
    """Lists under `prefix` and key."""

    def __init__(self, redis: Redis, prefix: str, where: str) -> None:
        self._redis, self._prefix, self._where = redis, prefix, where

    @classmethod
    async def open(cls, url: str) -> Self:
        place, prefix = redis_place(url, "control")
        # A write that was sent once is not sent again: it would be refused for its own success.
        store = cls(connect(place, "control", retries=0), PREFIX if prefix is None else prefix, redact(place))
        try:
            await store._check()
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self._redis.aclose()

    async def get(self, key: str) -> Document | None:
        newest = await self._newest(key, 1)
        return Document(key, newest[0].value, newest[0].revision) if newest else None

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document:
        encoded = encode_value(key, value, by)
        written = msgspec.json.encode(Written(by, msgspec.Raw(encoded)))
        revision = 0 if expected is None else expected or -1  # in the script 0 is "none yet", which nobody else may say
        await self._twice(self._redis.ping)  # a connection that was lost meanwhile is found out before it matters
        with self._answering():
            answer: Any = self._redis.eval(PUT, 1, self._prefix + key, revision, written, KEPT)
            stored, done = await answer
        if not done:
            raise conflict(key, stored, expected)
        return Document(key, decode_value(key, encoded), stored + 1)

    async def history(self, key: str, limit: int = 20) -> list[Change]:
        return await self._newest(key, limit) if limit > 0 else []

    async def _newest(self, key: str, limit: int) -> list[Change]:
        found = await self._twice(lambda: self._redis.lrange(self._prefix + key, 0, limit - 1))
        return [_change(key, line) for line in found]

    async def _twice(self, read: Callable[[], Any]) -> Any:
        """What `read` gives; a connection that was lost meanwhile is made anew at once."""
        from redis.exceptions import ConnectionError as ConnectionLost

        with self._answering():
            try:
                return await read()
            except ConnectionLost:
                return await read()

    async def _check(self) -> None:
        """
        Raises:
            StoreDown: it does not answer.
            SettingsError: it may forget documents.
        """
        from redis.exceptions import RedisError, ResponseError

        try:
            memory: Any = await self._redis.info("memory")
        except ResponseError:
            return  # it answers, and may not say more
        except (RedisError, OSError) as error:
            raise StoreDown(
                f"control at {self._where} does not answer ({error}); start it, or set `control` to where there is one"
            ) from error
        policy = str(memory.get("maxmemory_policy"))
        if memory.get("maxmemory") and policy.startswith("allkeys"):
            raise SettingsError(
                f"control at {self._where} would be forgotten when Redis is full (maxmemory-policy {policy}): set "
                "volatile-lru or noeviction there"
            )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        from redis.exceptions import RedisError

        try:
            yield
        except (RedisError, OSError) as error:
            raise Unavailable("the control store does not answer") from error


def _change(key: str, line: bytes) -> Change:
    try:
        revision, at, encoded = line.split(b" ", 2)
        written = msgspec.json.decode(encoded, type=Written)
        return Change(key, decode_value(key, bytes(written.value)), int(revision), written.by, float(at))
    except (ValueError, msgspec.DecodeError) as error:
        raise damaged(key) from error
