"""uvicorn's HTTP protocol, with what it leaves out: an answer in one write, errors as JSON, ignored upgrades.

Of uvicorn this uses the class `HttpToolsProtocol`: its attributes `cycle`, `flow`, `headers`, `loop`, `parser`,
`scope`, `server_state`, `transport` and `url`, its method `send_400_response`, those that httptools and asyncio call,
and the state of its `RequestResponseCycle`. None has an underscore, but none is documented either: CI runs the tests
with the oldest and the newest uvicorn that pyproject.toml allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mlpatterns.server.exchange import ANSWER_EXTENSION, JSON, Header, Send
from mlpatterns.server.http_transport import OneWriteTransport
from mlpatterns.server.read_queue import read_queue

__all__ = ["OneWriteProtocol", "abort_slow_readers", "close_slow_heads"]

HEAD_SECONDS = 10.0  # a connection must have sent a whole request head by then
NO_HTTP = b'{"error":"this is not a valid HTTP request"}'
NO_HTTP_HEADERS = [JSON, (b"content-length", b"%d" % len(NO_HTTP)), (b"connection", b"close")]


class NoUpgradeParser(HttpRequestParser):
    """httptools' parser for a server that speaks HTTP/1.1 alone, and so may ignore `Upgrade` (RFC 9110, section 7.8).

    httptools ends such a request after its head: what follows it takes for the other protocol. Here that head is parsed
    once more without `Upgrade`, and then the body.
    """

    def __init__(self, protocol: OneWriteProtocol) -> None:
        self._protocol = protocol
        self._begin()

    def _begin(self) -> None:
        super().__init__(self._protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                return super().feed_data(data)
            except HttpParserUpgrade as upgrade:
                if not self.ignores_upgrade():
                    raise
                head, data = self._protocol.head_without_upgrade(), memoryview(data)[upgrade.args[0] :]
                self._begin()  # after an upgrade with `Connection: close` it would parse nothing more
                super().feed_data(head)

    def ignores_upgrade(self) -> bool:
        """Whether the head that has just come is to be parsed once more; not that of CONNECT, which is nothing else."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"


class OneWriteProtocol(HttpToolsProtocol):
    """HttpToolsProtocol on a OneWriteTransport, with the ASGI extension `mlpatterns.answer`.

    Attributes:
        head_since: the loop's time at which the request head began that has not ended; None outside of a head.
        head_bytes: how many have come of it, the first packet not counted.
        taken, taken_at: bytes that the client had taken when that was last seen to grow, and the loop's time then.
    """

    parser: NoUpgradeParser
    transport: OneWriteTransport  # type: ignore[assignment]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parser = NoUpgradeParser(self)
        self.head_since: float | None = self.loop.time()
        self.head_bytes = 0
        self.taken, self.taken_at = 0, self.loop.time()
        self.waiting, self._queue = 0, read_queue(self.loop)
        self._shuts_down = False
        self._when_sent: list[Callable[[], None]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWriteTransport(transport, self.loop))  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._sent()
        # The scope of the last request holds this object. TLS keeps buffers as large as its largest answer, which must
        # not wait for the garbage collector.
        self.scope = self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._sent()

    def when_sent(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once: when the transport has written what it holds of the last answer, or the connection is
        lost; now if it holds no more than a small answer."""
        if self.flow.write_paused:
            self._when_sent.append(callback)
        else:
            callback()

    def _sent(self) -> None:
        callbacks, self._when_sent = self._when_sent, []
        for callback in callbacks:
            callback()

    def data_received(self, data: bytes) -> None:
        self._queue.take(self, data)

    @property
    def is_new(self) -> bool:
        return self.cycle is None

    def read(self, packet: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.head_since is not None:
            self.head_bytes += len(packet)
        super().data_received(packet)
        if self._shuts_down and not self.waiting:
            super().shutdown()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection of a client that has sent all until its waiting requests are answered; TLS cannot."""
        return self.waiting > 0 and self.scheme == "http"

    def shutdown(self) -> None:
        """The server stops: the connection closes after the answer to what has come."""
        self._shuts_down = True
        if not self.waiting:
            super().shutdown()

    def hold_back(self, held: bool) -> None:
        if self.transport.is_closing() or self.flow.read_paused:
            return
        if held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        self.head_since, self.head_bytes = self.loop.time(), 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if not self.parser.ignores_upgrade():
            self.head_since, self.head_bytes = None, 0
            self.scope["extensions"] = self._extensions()
            super().on_headers_complete()

    def _extensions(self) -> dict[str, Any]:
        """uvicorn's and ours, all of them this request's own: what an app changes must not reach another request."""
        given: Mapping[str, Any] = self.scope.get("extensions") or {}
        return {name: dict(value) for name, value in given.items()} | {
            ANSWER_EXTENSION: {"send": self.answer, "when_sent": self.when_sent}
        }

    def on_message_complete(self) -> None:
        if not self.parser.ignores_upgrade():
            super().on_message_complete()

    def head_without_upgrade(self) -> bytes:
        """The head of the request that has just come, as it would be from a client that wants no other protocol."""
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(lines))

    def answer(self, send: Send, status: int, headers: list[Header], body: bytes) -> bool:
        """Writes a whole answer: for an app that has it whole, and that is trusted to name headers as HTTP has them, a
        fifth of the work of two calls of `send`. False if it must go out by `send`: middleware stands between the app
        and this connection, or the connection is in a state that wants uvicorn's own care.

        Raises:
            ValueError: a header holds a line break.
        """
        cycle = self.cycle
        if (
            cycle is None
            or send != cycle.send
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or self.flow.write_paused
            or cycle.scope["method"] == "HEAD"
        ):
            return False
        whole = self._whole(status, headers, body)
        cycle.response_started = cycle.response_complete = True
        self.transport.write_whole(whole)
        cycle.message_event.set()
        cycle.on_response()
        return True

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP never becomes a request, so the app cannot answer it; its error looks like all others."""
        self.transport.write_whole(self._whole(400, NO_HTTP_HEADERS, NO_HTTP))
        self.transport.close()

    def _whole(self, status: int, headers: list[Header], body: bytes) -> bytes:
        lines = [b"%b: %b" % header for header in (*self.server_state.default_headers, *headers)]
        head = b"\r\n".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines) - 1:
            raise ValueError("a header holds a line break")
        return b"%b%b\r\n\r\n%b" % (STATUS_LINE[status], head, body)


def close_slow_heads(connections: Iterable[Any], most_bytes: int) -> None:
    """Closes connections whose request head does not come to an end, or grows too large: no app sees those."""
    for connection in list(connections):
        since = connection.head_since
        late = since is not None and connection.loop.time() - since > HEAD_SECONDS
        if late or connection.head_bytes > most_bytes:
            connection.transport.close()


def abort_slow_readers(connections: Iterable[Any], seconds: float) -> None:
    """Aborts connections whose client has taken nothing for `seconds` of what is written to it. To close them would not
    do: that waits until all is sent."""
    for connection in list(connections):
        taken, now = connection.transport.taken, connection.loop.time()
        if taken > connection.taken or taken == connection.transport.written:
            connection.taken, connection.taken_at = taken, now
        elif now - connection.taken_at > seconds:
            connection.transport.abort()
