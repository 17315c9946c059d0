"""Shared state in a Redis that is killed, hangs, is full, or holds what others wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from core import read
from integration.redis_server import RedisServer, redis_server
from mlpatterns.errors import Unavailable
from mlpatterns.stores import redis_connection
from mlpatterns.stores.control_redis import RedisControl
from mlpatterns.user_errors import SettingsError

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


def run(url: str, work: Callable[[RedisControl], Awaitable[None]]) -> None:
    async def main() -> None:
        store = await RedisControl.open(url)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


async def fails(store: RedisControl) -> None:
    for call in (read(store, "a"), store.history("a"), store.put("a", 2, expected=1, by="me")):
        with pytest.raises(Unavailable, match="the control store does not answer"):
            await call


def test_one_that_is_killed_is_unavailable_and_used_again_when_it_is_back(server: RedisServer) -> None:
    async def work(store: RedisControl) -> None:
        await store.put("a", 1, expected=None, by="me")
        server.kill()
        await fails(store)
        server.start()  # it saved nothing
        assert await read(store, "a") is None
        assert (await store.put("a", 3, expected=None, by="me")).revision == 1

    run(server.url, work)


def test_one_that_restarts_between_two_calls_costs_no_error(server: RedisServer) -> None:
    async def work(store: RedisControl) -> None:
        server.kill()
        server.start()
        await store.put("a", 1, expected=None, by="me")
        server.kill()
        server.start()
        assert await read(store, "a") is None

    run(server.url, work)


def test_one_that_hangs_is_given_up_and_used_again(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_connection, "ANSWER_SECONDS", 0.1)

    async def work(store: RedisControl) -> None:
        await store.put("a", 1, expected=None, by="me")
        server.freeze()
        try:
            await fails(store)
        finally:
            server.thaw()
        document = await read(store, "a")
        assert document is not None
        # The write was on its way: whoever was told that nobody answered reads again before it writes.
        assert (document.revision, document.value) in {(1, 1), (2, 2)}

    run(server.url, work)


def test_one_that_hangs_or_wants_a_password_is_unavailable_at_the_first_call(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "ANSWER_SECONDS", 0.1)
    server.freeze()
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(opened(server.url))
    server.thaw()
    with Redis.from_url(server.url) as redis:
        redis.config_set("requirepass", "right")
    for password in ("", ":wrong@"):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            asyncio.run(opened(server.url.replace("//", f"//{password}")))
        assert "wrong" not in f"{caught.value} {caught.value.__cause__}"
    asyncio.run(opened(server.url.replace("//", "//:right@")))


def test_one_that_would_forget_documents_when_it_is_full_is_refused(server: RedisServer) -> None:
    with Redis.from_url(server.url) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        asyncio.run(opened(server.url))  # it is never full
        redis.config_set("maxmemory", "64mb")
        with pytest.raises(SettingsError, match=r"when it is full \(maxmemory-policy allkeys-lru\): set"):
            asyncio.run(opened(server.url))
        redis.config_set("maxmemory-policy", "volatile-lru")
        asyncio.run(opened(server.url))


def test_one_that_may_not_say_how_it_is_set_up_is_used(server: RedisServer) -> None:
    with Redis.from_url(server.url) as redis:
        redis.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-info")
    asyncio.run(opened(server.url.replace("//", "//app:pw@")))


@pytest.mark.parametrize("line", [b"", b"1", b"x 1.0 {}", b"1 1.0 {}", b'1 1.0 {"by":"me","value":\xff}', b"1 1.0 [["])
def test_what_others_put_there_is_damaged_and_stays_as_it_is(server: RedisServer, line: bytes) -> None:
    async def work(store: RedisControl) -> None:
        with Redis.from_url(server.url) as redis:
            redis.lpush("mlpatterns-control:a", line)
            with pytest.raises(Unavailable, match="the document 'a' in the control store is damaged"):
                await read(store, "a")
            redis.set("mlpatterns-control:b", "no list")
            with pytest.raises(Unavailable, match="does not answer"):
                await read(store, "b")
            assert redis.get("mlpatterns-control:b") == b"no list"

    run(server.url, work)


async def opened(url: str) -> None:
    store = await RedisControl.open(url)
    try:
        await store.history("a")
    finally:
        await store.close()
