"""Answers that are sent while they are made: in parts, while the client reads, and cut off where they fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from types import NoneType
from typing import Any

import pytest

from mlpatterns.context import Context
from mlpatterns.errors import Unavailable
from mlpatterns.predictor import Caller, Operation, Streamed
from mlpatterns.server.app import serve
from mlpatterns.server.asgi import lifespan
from mlpatterns.server.exchange import Answer, Call
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client

PARTS = 50


class Streaming(CountingModel):
    """Its operation `list` streams numbers; `made` counts those that were asked for."""

    def __init__(self, fails_at: int = -1) -> None:
        super().__init__()
        self.operations = (Operation("list", "query", "public", NoneType, list[int], self._list),)
        self.made, self.fails_at = 0, fails_at

    async def _list(self, _: None, caller: Caller) -> Streamed:
        """Numbers."""
        return Streamed(self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        for number in range(PARTS):
            if number == self.fails_at:
                raise Unavailable("the table is away")
            self.made += 1
            yield b"%s%d" % (b"," if number else b"[", number)
        yield b"]"


def asked(model: Streaming, leaves_after: int = PARTS + 9) -> list[dict[str, Any]]:
    """What is sent to a client that leaves after so many parts."""
    sent: list[dict[str, Any]] = []
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not sent:
            return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) > leaves_after:
            left.set()
        await asyncio.sleep(0.001)

    async def main() -> None:
        app = serve(lambda: model, settings=Settings(control="memory://"))
        scope = {"type": "http", "method": "GET", "path": "/list", "headers": [], "query_string": b""}
        async with lifespan(app):
            await app(scope, receive, send)

    asyncio.run(main())
    return sent


def test_it_is_whole_json_in_parts_without_a_length() -> None:
    sent = asked(Streaming())
    names = {name for name, _ in sent[0]["headers"]}
    assert sent[0]["status"] == 200
    assert b"content-length" not in names
    assert {b"content-type", b"x-mlp-prediction-id"} <= names
    assert len(sent) == PARTS + 3
    assert not sent[-1].get("more_body")


def test_a_client_that_leaves_ends_the_work() -> None:
    model = Streaming()
    asked(model, leaves_after=5)
    assert model.made < 10


def test_a_stream_that_never_waits_lets_others_have_their_turn_and_ends_when_its_client_leaves() -> None:
    sent: list[Any] = []
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def endless() -> AsyncIterator[bytes]:
        while len(sent) < 10_000:
            yield b"x"

    async def main() -> None:
        call = Call({"method": "GET"}, receive, send, {}, Context("id", {}))
        call.deadline = monotonic() + 60
        asyncio.get_running_loop().call_soon(left.set)
        await call.answer(Answer(b"", chunks=endless()))

    asyncio.run(main())
    assert len(sent) < 10


def test_one_that_fails_in_the_middle_is_not_taken_for_a_whole_one() -> None:
    with pytest.raises(Unavailable):
        asked(Streaming(fails_at=3))


def test_over_http_it_is_a_list() -> None:
    async def main() -> None:
        async with client(Streaming(), settings=Settings(control="memory://")) as http:
            assert (await http.get("/list")).json() == list(range(PARTS))
            assert "list" in (await http.get("/openapi.json")).text

    asyncio.run(main())
