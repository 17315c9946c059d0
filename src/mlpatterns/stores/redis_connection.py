"""Connections to Redis from a store's URL: `redis://host:6379/0?prefix=shop:`, or `rediss://` for TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from mlpatterns.errors import Unavailable
from mlpatterns.redaction import redact
from mlpatterns.stores.urls import split_url
from mlpatterns.user_errors import MissingExtra, SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["answering", "connect", "redis_place"]

CONNECTIONS = 16
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 2.0


def redis_place(url: str, what: str) -> tuple[str, str | None]:
    """The URL without the option `prefix`, and the prefix of all keys, or None if the URL has none.

    Args:
        what: what is stored there, for error texts, such as "a cache".

    Raises:
        SettingsError: the URL is not a valid Redis URL.
    """
    base, options = split_url(url)
    prefix = options.pop("prefix", None)
    try:
        parts = urlsplit(base)
        sound = bool(parts.hostname) and (parts.port or 1) > 0 and re.fullmatch(r"(/\d{0,9})?", parts.path)
    except ValueError:
        sound = None
    if not sound:
        raise SettingsError(f"{what} in Redis needs a URL like redis://HOST[:PORT][/NUMBER], not {redact(base)}")
    return f"{base}?{urlencode(options)}" if options else base, prefix


def connect(url: str, what: str, *, retries: int) -> Redis:
    """A connection pool. It connects at the first use; while the server is down, each call tries to connect again.

    Args:
        retries: how often a command is sent again if its connection was lost; 0 if commands must not run twice.

    Raises:
        MissingExtra: redis-py is not installed.
        SettingsError: redis-py does not know an option of the URL.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise MissingExtra(f"{what} in Redis", "redis") from error
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=CONNECT_SECONDS,  # the longest wait for a free connection
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), retries),
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # raises now if an option is wrong
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{redact(url)} cannot be used: {error}") from error
    return Redis.from_pool(pool)


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Turns every error of redis-py into Unavailable with a text that `what` does not answer."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"{what} does not answer") from error
