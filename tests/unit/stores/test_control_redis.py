"""Shared state in Redis: what its URL may be. How it behaves is in contracts/, and under faults in integration/."""

from __future__ import annotations

import asyncio
import sys

import pytest

from core import read
from mlpatterns.errors import Unavailable
from mlpatterns.stores.control_redis import RedisControl
from mlpatterns.testing import free_port
from mlpatterns.user_errors import MissingExtra, SettingsError


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://", "control in Redis needs a URL like redis://HOST"),
        ("redis://:secret@host:99999", r"not redis://:\*\*\*@host:99999"),
        ("redis://:secret@host?nonsense=1", "nonsense"),
    ],
)
def test_a_malformed_url_is_one_sentence(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        asyncio.run(RedisControl.open(url))
    assert "secret" not in str(caught.value)


def test_one_that_is_down_opens_and_its_first_call_is_unavailable_without_its_password() -> None:
    port = free_port()

    async def main() -> None:
        store = await RedisControl.open(f"redis://:secret@127.0.0.1:{port}")
        await read(store, "a")

    with pytest.raises(Unavailable, match="the control store does not answer") as caught:
        asyncio.run(main())
    assert "secret" not in str(caught.value)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtra, match=r"control in Redis needs an extra: pip install 'mlpatterns\[redis\]'"):
        asyncio.run(RedisControl.open("redis://127.0.0.1:1"))
