"""uvicorn's HTTP protocol with additions: an answer in one write, errors as JSON, and ignored upgrades.

It uses these parts of uvicorn: the class `HttpToolsProtocol` with its attributes `cycle`, `flow`, `headers`, `loop`,
`parser`, `scope`, `server_state`, `transport` and `url`; its method `send_400_response` and the methods that httptools
and asyncio call; and the state of its `RequestResponseCycle`. None of these names has an underscore, but none is
documented. So CI runs the tests with the oldest and the newest uvicorn that pyproject.toml allows.
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

HEAD_SECONDS = 10.0  # a client must send a complete request head within this time
NO_HTTP = b'{"error":"this is not a valid HTTP request"}'
NO_HTTP_HEADERS = [JSON, (b"content-length", b"%d" % len(NO_HTTP)), (b"connection", b"close")]


class NoUpgradeParser(HttpRequestParser):
    """httptools' parser, which ignores `Upgrade`. A server that only speaks HTTP/1.1 may (RFC 9110, section 7.8).

    For a request with `Upgrade`, httptools stops after the head and treats the following bytes as the other protocol.
    This class parses the head a second time without `Upgrade`, and then the body.
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
                self._begin()  # a new parser, because after `Connection: close` the old one would parse nothing more
                super().feed_data(head)

    def ignores_upgrade(self) -> bool:
        """Whether to parse the latest head a second time. CONNECT is excluded: it is always a request for a tunnel."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"


class OneWriteProtocol(HttpToolsProtocol):
    """HttpToolsProtocol on a OneWriteTransport, with the ASGI extension `mlpatterns.answer`.

    Attributes:
        head_since: the loop's time at which an unfinished request head began; None if no head is being read.
        head_bytes: the bytes of that head so far, without its first packet.
        taken, taken_at: the number of bytes that the client had taken when it last took any, and the loop's time then.
        waiting: the number of received packets that the read queue holds.
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
        # The scope of the last request refers to this object, and TLS keeps buffers as large as its largest answer.
        # Breaking this reference cycle frees them before the garbage collector runs.
        self.scope = self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._sent()

    def when_sent(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once, when the transport resumes writing or the connection is lost. It calls it at once if
        the transport has not paused writing, because its buffer then holds no more than a small answer."""
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
        """Keeps the connection open after the client has closed its side, if packets still wait to be read. TLS cannot
        do this."""
        return self.waiting > 0 and self.scheme == "http"

    def shutdown(self) -> None:
        """Closes the connection when the server stops, after the requests that have arrived are read and answered."""
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
        """uvicorn's extensions and ours. Each request gets its own copy, which an app may change."""
        given: Mapping[str, Any] = self.scope.get("extensions") or {}
        return {name: dict(value) for name, value in given.items()} | {
            ANSWER_EXTENSION: {"send": self.answer, "when_sent": self.when_sent}
        }

    def on_message_complete(self) -> None:
        if not self.parser.ignores_upgrade():
            super().on_message_complete()

    def head_without_upgrade(self) -> bytes:
        """The latest request head without the header `Upgrade`."""
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(lines))

    def answer(self, send: Send, status: int, headers: list[Header], body: bytes) -> bool:
        """Writes an answer in one write, with a fifth of the work of two calls of `send`.

        It does not check the names of the headers, so the app must give valid ones. It returns False if the app must
        use `send` instead, because there is middleware between the app and this connection, or because only uvicorn can
        handle the connection's state.

        Raises:
            ValueError: a header contains a line break.
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
        """Answers bytes that are not HTTP. The app never gets them, but the answer has the format of its errors."""
        self.transport.write_whole(self._whole(400, NO_HTTP_HEADERS, NO_HTTP))
        self.transport.close()

    def _whole(self, status: int, headers: list[Header], body: bytes) -> bytes:
        lines = [b"%b: %b" % header for header in (*self.server_state.default_headers, *headers)]
        head = b"\r\n".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines) - 1:
            raise ValueError("a header holds a line break")
        return b"%b%b\r\n\r\n%b" % (STATUS_LINE[status], head, body)


def close_slow_heads(connections: Iterable[Any], most_bytes: int) -> None:
    """Closes connections whose request head takes too long, or exceeds `most_bytes`. The app gets no such request."""
    for connection in list(connections):
        since = connection.head_since
        late = since is not None and connection.loop.time() - since > HEAD_SECONDS
        if late or connection.head_bytes > most_bytes:
            connection.transport.close()


def abort_slow_readers(connections: Iterable[Any], seconds: float) -> None:
    """Aborts connections whose client has taken none of the written bytes for `seconds`. It does not close them,
    because a close waits until all bytes are sent."""
    for connection in list(connections):
        taken, now = connection.transport.taken, connection.loop.time()
        if taken > connection.taken or taken == connection.transport.written:
            connection.taken, connection.taken_at = taken, now
        elif now - connection.taken_at > seconds:
            connection.transport.abort()
