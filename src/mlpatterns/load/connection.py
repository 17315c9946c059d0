"""One kept connection: it sends a request's bytes and reads one answer, with httptools as the parser."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

__all__ = ["Connection", "Owner", "Shot"]


class Shot:
    """One request that was planned.

    Attributes:
        wire, head: its bytes, and whether its answer has no body whatever its headers say.
        planned: when, by the loop's clock.
        window: where its outcome is counted.
        connection: which carries it; None while it waits for one.
        done: it was answered, failed or timed out.
    """

    __slots__ = ("connection", "done", "head", "planned", "window", "wire")

    def __init__(self, wire: bytes, head: bool, planned: float, window: Any) -> None:
        self.wire, self.head, self.planned, self.window = wire, head, planned, window
        self.connection: Connection | None = None
        self.done = False


class Owner(Protocol):
    """Who is told of a connection."""

    def opened(self, connection: Connection) -> None: ...
    def answered(self, connection: Connection, shot: Shot, status: int, received: int) -> None: ...
    def failed(self, shot: Shot, why: str) -> None: ...
    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Carries one shot at a time; see Owner for what it tells."""

    __slots__ = ("_headers_done", "_length_known", "_owner", "_parser", "_received", "shot", "transport")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.shot: Shot | None = None
        self.transport: Any = None  # an asyncio.Transport, from connection_made on
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._received, self._headers_done, self._length_known = 0, False, False

    def send(self, shot: Shot) -> None:
        shot.connection, self.shot = self, shot
        self.transport.write(shot.wire)

    def abort(self) -> None:
        """Closes at once; who waits for its answer is told by the caller."""
        self.shot = None
        self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.shot is None:  # nobody asked: what follows would be taken for the next request's answer
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the answer is not HTTP/1.1")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.shot is not None:
            if exc is None and self._headers_done and not self._length_known:
                self._complete()  # the end of the connection is the end of the body (RFC 9112, section 6.3)
            else:
                self._fail("the server closed the connection before its answer was complete")
        self._owner.closed(self)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._length_known = True

    def on_headers_complete(self) -> None:
        self._headers_done = True
        if self.shot is not None and self.shot.head:  # the parser would wait for the body that the length promises
            self.transport.abort()  # first, so that nobody who waits is sent over it
            self._complete()

    def on_body(self, body: bytes) -> None:
        self._received += len(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._complete()
        else:  # 1xx: the answer is still to come
            self._headers_done = self._length_known = False

    def _complete(self) -> None:
        shot, received = self.shot, self._received
        if shot is None:
            return
        self.shot, self._received, self._headers_done, self._length_known = None, 0, False, False
        if not self._parser.should_keep_alive():
            self.transport.close()
        self._owner.answered(self, shot, self._parser.get_status_code(), received)

    def _fail(self, why: str) -> None:
        shot, self.shot = self.shot, None
        self.transport.abort()
        if shot is not None:
            self._owner.failed(shot, why)
