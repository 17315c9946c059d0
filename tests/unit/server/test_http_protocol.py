"""One write for an answer: through a real uvicorn on a transport that keeps what is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn

from mlpatterns.server.app import serve
from mlpatterns.server.exchange import ANSWER_EXTENSION
from mlpatterns.server.http_protocol import OneWriteProtocol
from mlpatterns.server.http_transport import OneWriteTransport
from unit.server.doubles import iris

ROW = b'{"data": [[5.1, 3.5, 1.4, 0.2]]}'
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n%bContent-Length: 32\r\n\r\n" + ROW


class Transport(asyncio.Transport):
    """Keeps each write apart."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def converse(app: Any, *packets: bytes) -> Transport:
    """What is written when `packets` arrive, each after the answer to the one before."""
    config = uvicorn.Config(app, http=OneWriteProtocol, lifespan="off", log_config=None, access_log=False)
    config.load()
    state = uvicorn.server.ServerState()
    protocol, transport = OneWriteProtocol(config, state, {}), Transport()
    protocol.connection_made(transport)
    for packet in packets:
        protocol.data_received(packet)
        for _ in range(20):
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    return transport


def served(*packets: bytes, **options: Any) -> Transport:
    async def main() -> Transport:
        app = serve(iris, **options)
        async with app.running():
            return await converse(app, *packets)

    return asyncio.run(main())


def test_an_answer_is_one_write_and_the_connection_goes_on() -> None:
    first, second = served(POST % b"", POST % b"").writes
    for answer in (first, second):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body == b'{"prediction":[0.75,0.125,0.125]}'
        assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")


def test_errors_and_answers_that_end_the_connection_are_one_write_too() -> None:
    assert len(served(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").writes) == 1
    last = served(POST % b"Connection: close\r\n")
    assert len(last.writes) == 1
    assert last.closed


def test_a_body_in_pieces_is_put_together() -> None:
    whole = POST % b""
    (answer,) = served(whole[:-10], whole[-10:]).writes
    assert b'{"prediction":[0.75,0.125,0.125]}' in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"NONSENSE /predict HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT there:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nx: a\x00b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nx : a\r\n\r\n",
        b"GET /v2/models/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: strange\r\n\r\n" + ROW,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n" + ROW,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n" + ROW,
        # Two opinions on where a body ends are how one request is smuggled inside another.
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\nContent-Length: 5\r\n\r\n" + ROW,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n"
        + ROW + b"\r\n0\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_gets_an_error_like_all_others_and_no_second_chance(sent: bytes) -> None:
    answered = served(sent)
    assert answered.writes[-1].startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answered.writes[-1].endswith(b'{"error":"this is not a valid HTTP request"}')
    assert b"\r\ncontent-type: application/json\r\n" in answered.writes[-1]
    assert answered.closed


def test_a_body_that_no_route_reads_is_not_taken_for_the_next_request() -> None:
    first, second = served(
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\n"
        + ROW
        + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    ).writes
    assert b" 404 " in first
    assert second.endswith(b'{"health":"ok"}')


UPGRADES = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
    b"Upgrade: TLS/1.0\r\nConnection: keep-alive, Upgrade\r\n",
]


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("cut", [1, 40, 100, -40, -32, -5, None])
def test_an_upgrade_is_ignored_and_the_body_is_read(upgrade: bytes, cut: int | None) -> None:
    sent = POST % upgrade
    packets = [sent] if cut is None else [sent[:cut], sent[cut:]]
    first, second = served(*packets, POST % b"").writes
    for answer in (first, second):
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b'{"prediction":[0.75,0.125,0.125]}')


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_an_upgrade_is_ignored_in_a_chunked_request_and_among_others(upgrade: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\n%bTransfer-Encoding: chunked\r\n\r\n" % upgrade
    chunked = head + b"20\r\n" + ROW + b"\r\n0\r\n\r\n"
    health = b"GET /health HTTP/1.1\r\nHost: x\r\n%b\r\n" % upgrade
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in served(chunked + health + POST % upgrade + health).writes]
    prediction = b'{"prediction":[0.75,0.125,0.125]}'
    assert bodies == [prediction, b'{"health":"ok"}', prediction, b'{"health":"ok"}']


def test_an_upgrade_hides_no_second_request_and_no_second_length() -> None:
    smuggled = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n%b\r\n"
    two_lengths = smuggled % b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n" + b"20\r\n" + ROW + b"\r\n0\r\n\r\n"
    folded = smuggled % b"x: a\r\n GET /health HTTP/1.1\r\n" + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b" 400 Bad Request" in served(two_lengths).writes[-1]
    assert len(served(folded).writes) <= 2
    closing = served(POST % (UPGRADES[0] + b"Connection: close\r\n"))
    assert (len(closing.writes), closing.closed) == (1, True)


def test_the_head_of_an_answer_to_head_is_not_kept_back() -> None:
    (answer,) = served(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n").writes
    assert answer.endswith(b"\r\n\r\n")


def test_a_client_that_asks_to_go_on_is_told_to() -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 32\r\n\r\n"
    interim, answer = served(head, ROW).writes
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert b" 200 OK" in answer


def test_middleware_sees_every_message_and_what_it_changes_is_sent() -> None:
    from starlette.middleware import Middleware

    class Tag:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def tagged(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-tag", b"1"))
                await send(message)

            await self.app(scope, receive, tagged)

    (answer,) = served(POST % b"", middleware=[Middleware(Tag)]).writes
    assert b"\r\nx-tag: 1\r\n" in answer


def test_pieces_of_a_streamed_body_are_neither_lost_nor_reordered() -> None:
    pieces = [b"one", b"HTTP/1.1 two", b"HTTP/1.1 three", b"four"]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"33")]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    transport = asyncio.run(converse(app, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert b"".join(transport.writes).endswith(b"\r\n\r\n" + b"".join(pieces))


def test_a_head_goes_out_before_the_connection_closes() -> None:
    async def main() -> None:
        transport = Transport()
        held = OneWriteTransport(transport, asyncio.get_running_loop())
        held.write(b"HTTP/1.1 200 OK\r\n\r\n")
        assert transport.writes == []
        held.close()
        assert transport.writes == [b"HTTP/1.1 200 OK\r\n\r\n"]

    asyncio.run(main())


def test_a_head_whose_body_is_long_in_coming_goes_out_alone() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"x"})

    async def main() -> None:
        transport = await converse(app, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(transport.writes) == 1
        await asyncio.sleep(0.02)

    asyncio.run(main())


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb"])
def test_a_line_break_in_a_header_is_never_written(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"][ANSWER_EXTENSION]["send"](send, 200, [(b"x-mlp-version", value)], b"")

    (answer,) = asyncio.run(converse(app, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).writes
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "a header holds a line break" in caplog.text
