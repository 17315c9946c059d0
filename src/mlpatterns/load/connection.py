"""One persistent connection. It sends the bytes of a request and reads the answer with the parser of httptools."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

__all__ = ["Connection", "ConnectionListener", "PlannedRequest"]


class PlannedRequest:
    """One planned request.

    Attributes:
        wire: its bytes.
        head: whether it is a HEAD request, whose answer has no body, whatever its headers say.
        planned: its planned time, by time.monotonic.
        window: the window that counts its outcome.
        connection: the connection that carries it; None while it waits for one.
        done: whether it was answered, failed or timed out.
    """

    __slots__ = ("connection", "done", "head", "planned", "window", "wire")

    def __init__(self, wire: bytes, head: bool, planned: float, window: Any) -> None:
        self.wire, self.head, self.planned, self.window = wire, head, planned, window
        self.connection: Connection | None = None
        self.done = False


class ConnectionListener(Protocol):
    """The callbacks that a connection calls."""

    def opened(self, connection: Connection) -> None: ...
    def answered(self, connection: Connection, request: PlannedRequest, status: int, received: int) -> None: ...
    def failed(self, request: PlannedRequest, why: str) -> None: ...
    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Carries one request at a time, and reports to its ConnectionListener."""

    __slots__ = ("_headers_done", "_length_known", "_listener", "_parser", "_received", "request", "transport")

    def __init__(self, listener: ConnectionListener) -> None:
        self._listener = listener
        self.request: PlannedRequest | None = None
        self.transport: Any = None  # an asyncio.Transport after connection_made
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._received, self._headers_done, self._length_known = 0, False, False

    def send(self, request: PlannedRequest) -> None:
        request.connection, self.request = self, request
        self.transport.write(request.wire)

    def abort(self) -> None:
        """Closes the connection at once. The caller must report the failure of its request."""
        self.request = None
        self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._listener.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.request is None:  # unrequested data would be read as the answer to the next request
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the answer is not HTTP/1.1")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.request is not None:
            if exc is None and self._headers_done and not self._length_known:
                self._complete()  # the end of the connection is the end of the body (RFC 9112, section 6.3)
            else:
                self._fail("the server closed the connection before its answer was complete")
        self._listener.closed(self)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._length_known = True

    def on_headers_complete(self) -> None:
        self._headers_done = True
        if self.request is not None and self.request.head:  # the parser would wait for a body of Content-Length bytes
            self.transport.abort()  # first, so that the pool sends no waiting request over it
            self._complete()

    def on_body(self, body: bytes) -> None:
        self._received += len(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._complete()
        else:  # 1xx: the final answer is still to come
            self._headers_done = self._length_known = False

    def _complete(self) -> None:
        request, received = self.request, self._received
        if request is None:
            return
        self.request, self._received, self._headers_done, self._length_known = None, 0, False, False
        if not self._parser.should_keep_alive():
            self.transport.close()
        self._listener.answered(self, request, self._parser.get_status_code(), received)

    def _fail(self, why: str) -> None:
        request, self.request = self.request, None
        self.transport.abort()
        if request is not None:
            self._listener.failed(request, why)
