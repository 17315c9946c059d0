"""Messages that come slowly, or not at all: who pays for them, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.server.grpc import face, streams
from mlpatterns.server.grpc.streams import HEALTH_SERVICE
from mlpatterns.settings import Settings
from unit.server.doubles import iris
from unit.server.grpc.asking import Asking, Status, asking, iris_request

SHORT = Settings(request_timeout=0.4)


async def never() -> AsyncIterator[bytes]:
    """A client that has begun a call and sends no message."""
    await asyncio.Event().wait()
    yield b""


async def nothing() -> AsyncIterator[bytes]:
    for message in list[bytes]():
        yield message


def begun(ask: Asking, messages: Any, method: str = "ModelInfer") -> Any:
    return ask.channel.stream_unary(f"/{SERVICE}/{method}")(messages)


async def end_of(call: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call, 5)
    return caught.value.code(), caught.value.details() or ""


@pytest.mark.parametrize("method", ["ModelInfer", "ServerLive"])
def test_a_message_that_does_not_come_is_waited_for_as_long_as_a_request_may_take(method: str) -> None:
    async def test(ask: Asking) -> None:
        assert await end_of(begun(ask, never(), method)) == (
            Status.DEADLINE_EXCEEDED,
            "the message did not arrive in time",
        )
        assert await ask.infer(iris_request())

    asking(test, iris(), settings=SHORT)


def test_a_call_without_a_message_is_refused_with_a_sentence() -> None:
    async def test(ask: Asking) -> None:
        assert await end_of(begun(ask, nothing())) == (
            Status.INVALID_ARGUMENT,
            "the call has no message; send one",
        )

    asking(test, iris())


def test_a_client_without_a_key_is_refused_before_it_has_sent_anything() -> None:
    async def test(ask: Asking) -> None:
        assert (await end_of(begun(ask, never())))[0] is Status.UNAUTHENTICATED

    asking(test, iris(), settings=Settings(api_keys={"ann": "secret"}))


def test_of_too_many_messages_the_one_that_takes_longest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "MOST_ARRIVING", 2)

    async def test(ask: Asking) -> None:
        slow = [begun(ask, never()) for _ in range(2)]
        await asyncio.sleep(0.2)  # until both have begun
        assert await ask.infer(iris_request()), "who sends at once does not pay"
        ended, waiting = await asyncio.wait([asyncio.ensure_future(end_of(call)) for call in slow], timeout=1)
        assert [task.result()[0] for task in ended] == [Status.UNAVAILABLE]
        assert len(waiting) == 1
        for call in slow:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asking(test, iris())


def test_a_watcher_that_does_not_say_what_it_watches_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_SILENCE", 0.2)

    async def test(ask: Asking) -> None:
        watch = ask.channel.stream_stream(f"/{HEALTH_SERVICE}/Watch")(never())
        assert await asyncio.wait_for(watch.read(), 5) is grpc.aio.EOF

    asking(test, iris())
