"""Requests on one connection, one of them or many in a packet: each has its answer, in order, whatever its app does."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.server.exchange import ANSWER_EXTENSION
from mlpatterns.server.http_protocol import HEAD_SECONDS, OneWriteProtocol, close_slow_heads
from mlpatterns.settings import Settings
from unit.server.test_http_protocol import Transport

mark: ContextVar[str] = ContextVar("mark", default="none")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Does what its path says, and answers with the body that it was sent."""
    ways = scope["path"][1:].split("-")
    mark.set(scope["path"])
    if "sleep" in ways:
        await asyncio.sleep(0)
    if "raise" in ways:
        raise LookupError("broken")
    if "nothing" in ways:
        return
    if "expired" in ways:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(10)
    body = await received(receive)
    if "later" in ways:
        await asyncio.sleep(0.001)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    if "whole" not in ways or not scope["extensions"][ANSWER_EXTENSION]["send"](send, 200, headers, body):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    if "after" in ways:
        await asyncio.sleep(0)
        assert (await receive())["type"] == "http.disconnect"
    if "late" in ways:
        raise LookupError("broken after its answer")
    assert mark.get() == scope["path"]


async def received(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body, more = body + message["body"], message["more_body"]
    return body


def post(path: str, body: bytes, head: bytes = b"") -> bytes:
    return b"POST /%b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (path.encode(), head, len(body), body)


class Spoken:
    """A connection, and what came of it."""

    def __init__(self, served: Any = app, protocol: type[OneWriteProtocol] = OneWriteProtocol) -> None:
        config = uvicorn.Config(served, http=OneWriteProtocol, lifespan="off", log_config=None, access_log=False)
        config.load()
        self.state = uvicorn.server.ServerState()
        self.protocol, self.transport = protocol(config, self.state, {}), Transport()
        self.protocol.connection_made(self.transport)

    async def quiet(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0.0005)

    def bodies(self) -> list[bytes]:
        """The bodies of the answers, in order."""
        stream, found = b"".join(self.transport.writes), []
        while stream:
            head, _, stream = stream.partition(b"\r\n\r\n")
            size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            found.append(stream[:size])
            stream = stream[size:]
        return found


WAYS = ["whole", "plain", "whole-sleep", "sleep", "whole-later", "later", "whole-after", "after", "expired-whole"]


@settings(max_examples=60, deadline=None)
@given(
    ways=st.lists(st.sampled_from(WAYS), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 700), max_size=6),
    rounds=st.lists(st.integers(0, 3), min_size=7, max_size=7),
)
def test_answers_come_in_the_order_of_the_requests_however_they_are_cut(
    ways: list[str], cuts: list[int], rounds: list[int]
) -> None:
    stream = b"".join(post(way, b"body %d" % number) for number, way in enumerate(ways))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]

    async def main() -> list[bytes]:
        spoken = Spoken()
        for (start, end), many in zip(pairwise(edges), rounds, strict=False):
            if start < end:
                spoken.protocol.data_received(stream[start:end])
            for _ in range(many):
                await asyncio.sleep(0)
        await spoken.quiet()
        assert not spoken.state.tasks
        return spoken.bodies()

    assert asyncio.run(main()) == [b"body %d" % number for number in range(len(ways))]


def answered(path: str, *, head: bytes = b"") -> tuple[list[bytes], bool]:
    """What is written for one request, and whether the connection is closed then."""

    async def main() -> tuple[list[bytes], bool]:
        spoken = Spoken()
        spoken.protocol.data_received(post(path, b"hello", head))
        await spoken.quiet()
        return spoken.transport.writes, spoken.transport.closed

    return asyncio.run(main())


@pytest.mark.parametrize("path", ["raise", "sleep-raise", "nothing", "sleep-nothing"])
def test_an_app_that_fails_or_says_nothing_is_a_500(path: str, caplog: pytest.LogCaptureFixture) -> None:
    (answer,), closed = answered(path)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert closed
    assert ("broken" in caplog.text) == ("raise" in path)


def test_a_request_is_answered_and_counted_once() -> None:
    again: list[bool] = []

    async def twice(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        again.append(scope["extensions"][ANSWER_EXTENSION]["send"](send, 200, [], b"again"))

    async def main() -> None:
        spoken = Spoken(twice)
        spoken.protocol.data_received(post("whole", b"once"))
        await spoken.quiet()
        assert spoken.bodies() == [b"once"]
        assert spoken.state.total_requests == 1

    asyncio.run(main())
    assert again == [False]


@pytest.mark.parametrize("path", ["whole-late", "late", "whole-later-late"])
def test_one_that_fails_after_its_answer_costs_the_connection_alone(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    (answer,), closed = answered(path)
    assert answer.endswith(b"hello")
    assert closed
    assert "broken after its answer" in caplog.text


def test_a_connection_that_is_to_be_closed_is() -> None:
    (answer,), closed = answered("whole", head=b"Connection: close\r\n")
    assert answer.endswith(b"hello")
    assert closed


def test_each_request_has_a_context_of_its_own_and_the_right_task() -> None:
    tasks: list[Any] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.current_task())
        assert mark.get() == "none"
        await app(scope, receive, send)
        tasks.append(asyncio.current_task())

    async def main() -> None:
        spoken = Spoken(noting)
        for way in ("whole", "whole-later", "whole"):
            spoken.protocol.data_received(post(way, b"x"))
            await spoken.quiet()
        assert spoken.bodies() == [b"x"] * 3

    asyncio.run(main())
    assert None not in tasks
    assert all(before is after for before, after in zip(tasks[::2], tasks[1::2], strict=True))


def test_a_server_that_stops_answers_what_has_come_and_closes() -> None:
    async def main() -> None:
        spoken = Spoken()
        spoken.protocol.data_received(post("whole", b"last"))
        spoken.protocol.shutdown()
        assert not spoken.transport.closed
        await spoken.quiet()
        assert spoken.bodies() == [b"last"]
        assert b"connection: close" in spoken.transport.writes[0]
        assert spoken.transport.closed

    asyncio.run(main())


def test_an_app_whose_client_has_left_before_it_begins_is_told_so() -> None:
    seen: list[str] = []

    async def asking(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/whole":
            await app(scope, receive, send)
        else:
            seen.append((await receive())["type"])

    async def main() -> None:
        spoken = Spoken(asking)
        spoken.protocol.data_received(post("ask", b"x"))
        spoken.transport.close()
        spoken.protocol.connection_lost(None)
        await spoken.quiet()
        assert spoken.transport.writes == []

    asyncio.run(main())
    assert seen == ["http.disconnect"]


def test_what_an_app_changes_in_a_scope_reaches_no_other_request() -> None:
    seen: list[Any] = []

    async def changing(scope: Any, receive: Any, send: Any) -> None:
        state, extensions = dict(scope["state"]), {name: set(its) for name, its in scope["extensions"].items()}
        seen.append((state, extensions, list(scope["headers"]), set(scope["asgi"])))
        await asyncio.sleep(0.001)  # the others come meanwhile
        scope["extensions"]["of this request"] = {}
        scope["extensions"]["of uvicorn"]["changed"] = True
        scope["extensions"][ANSWER_EXTENSION]["changed"] = True
        scope["state"]["of this request"] = scope["asgi"]["changed"] = True
        scope["headers"].append((b"x-changed", b"1"))
        await app(scope, receive, send)

    async def main() -> None:
        both = [Spoken(changing, OfUvicorn), Spoken(changing, OfUvicorn)]
        for _ in range(2):
            for spoken in both:  # in parallel, and two of each connection in one packet
                spoken.protocol.data_received(post("plain", b"x") * 2)
            await both[0].quiet()
        assert [spoken.bodies() for spoken in both] == [[b"x"] * 4] * 2

    asyncio.run(main())
    ours = {ANSWER_EXTENSION: {"send", "when_sent"}}
    headers = [(b"host", b"x"), (b"content-length", b"1")]
    assert seen == [({}, {"of uvicorn": {"given"}, **ours}, headers, {"version", "spec_version"})] * 8


class OfUvicorn(OneWriteProtocol):
    """As if uvicorn had an extension of its own, one object for all requests."""

    SHARED: ClassVar[dict[str, bool]] = {"given": True}

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: Any = {"of uvicorn": self.SHARED}
        self.scope["extensions"] = extensions


def test_an_answer_in_one_call_is_not_taken_from_behind_another_request() -> None:
    took: list[bool] = []

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.001)  # until the next request is there
        took.append(scope["extensions"][ANSWER_EXTENSION]["send"](send, 200, [(b"content-length", b"1")], b"!"))
        if not took[-1]:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
            await send({"type": "http.response.body", "body": b"?"})

    async def main() -> list[bytes]:
        spoken = Spoken(late)
        spoken.protocol.data_received(post("a", b"x") + post("b", b"x"))
        await spoken.quiet()
        return spoken.bodies()

    assert asyncio.run(main()) == [b"?", b"!"]
    assert took == [False, True]


@pytest.mark.parametrize(
    ("sent", "closed"),
    [
        ([], True),  # a connection on which nothing comes
        ([b"POST /plain HTTP/1.1\r\nHost: x\r\n"], True),
        ([b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"], False),  # the app's to wait for
        ([post("plain", b"x")], False),  # uvicorn's own timer is for these
        ([post("plain", b"x"), b"POST /plain"], True),
    ],
)
def test_a_head_that_does_not_end_closes_its_connection(sent: list[bytes], closed: bool) -> None:
    async def main() -> None:
        spoken = Spoken()
        for packet in sent:
            spoken.protocol.data_received(packet)
            await spoken.quiet()
        sweep(spoken, HEAD_SECONDS - 1)
        assert not spoken.transport.closed
        sweep(spoken, HEAD_SECONDS + 1)
        assert spoken.transport.closed == closed
        spoken.protocol.connection_lost(None)

    asyncio.run(main())


def test_a_head_that_grows_without_end_closes_its_connection_and_a_large_body_does_not() -> None:
    most = Settings().max_header_bytes

    async def main() -> None:
        body, head = Spoken(), Spoken()
        body.protocol.data_received(post("plain", b"")[:-5] + b"%d\r\n\r\n" % (4 * most))
        head.protocol.data_received(b"POST /plain HTTP/1.1\r\nx: ")
        for spoken in (body, head):
            for _ in range(3):
                spoken.protocol.data_received(b"a" * most)
            sweep(spoken, 1)
        assert (body.transport.closed, head.transport.closed) == (False, True)
        for spoken in (body, head):
            spoken.protocol.connection_lost(None)

    asyncio.run(main())


def sweep(spoken: Spoken, seconds: float) -> None:
    """What a worker does each second, so many seconds from now."""
    if spoken.protocol.head_since is not None:
        spoken.protocol.head_since -= seconds
    close_slow_heads([spoken.protocol], 2 * Settings().max_header_bytes)
    if spoken.protocol.head_since is not None:
        spoken.protocol.head_since += seconds
