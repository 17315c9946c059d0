"""The cache in Redis: what its URL may be. How it behaves is in contracts/, and under faults in integration/."""

from __future__ import annotations

import asyncio
import sys

import pytest

from mlpatterns.stores.cache_redis import RedisCache
from mlpatterns.user_errors import MissingExtra, SettingsError


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://", "needs a URL like redis://HOST"),
        ("redis://host:port", "needs a URL like redis://HOST"),
        ("redis://host/name", "needs a URL like redis://HOST"),
        ("redis://:secret@host:99999", r"not redis://:\*\*\*@host:99999"),
        ("redis://host?nonsense=1", "nonsense"),
        ("redis://host?db=x", "db"),
    ],
)
def test_a_malformed_url_is_one_sentence(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        asyncio.run(RedisCache.open(url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "rediss://:pw@127.0.0.1:1/3?prefix=a&ssl_cert_reqs=none"])
def test_opening_one_that_is_down_is_no_error(url: str) -> None:
    async def main() -> None:
        await (await RedisCache.open(url)).close()

    asyncio.run(main())


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mlpatterns\[redis\]'"):
        asyncio.run(RedisCache.open("redis://127.0.0.1:1"))
