"""uvicorn's HTTP protocol, for answers that are known whole.

uvicorn writes the head of an answer when the app sends `http.response.start` and the body when it sends that: two
system calls, two packets and two wake-ups of the client for a hundred bytes. Here they are one write; and an app that
has the whole answer may hand it over in one call, the ASGI extension `mlpatterns.answer`, which leaves out what
uvicorn must do for an app that it cannot trust (each header checked by two expressions, two coroutines, two messages).
`mlpatterns.body` is the same for a body that has arrived whole.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from mlpatterns.server.exchange import ANSWER_EXTENSION, BODY_EXTENSION, JSON, Header, Receive, Send

__all__ = ["OneWriteProtocol"]

HEAD, INTERIM = b"HTTP/1.1 ", b"HTTP/1.1 1"
NO_HTTP, CLOSE = b'{"error":"this is not a valid HTTP request"}', (b"connection", b"close")


class OneWriteTransport:
    """A transport that holds an answer's head back until its body, its end or the connection's end comes.

    A piece of a body that looks like a head is held too, and goes out as soon as any of these comes: nothing is lost
    or reordered, whatever is written.
    """

    __slots__ = ("_held", "_transport", "_write", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._write, self.is_closing = transport, transport.write, transport.is_closing
        self._held = b""

    def write(self, data: bytes) -> None:
        held = self._held
        if held:
            self._held = b""
            self._write(held + data)
        elif data.startswith(HEAD) and not data.startswith(INTERIM):
            self._held = data
        else:
            self._write(data)

    def write_whole(self, data: bytes) -> None:
        """Writes at once."""
        self._write(data)

    def flush(self) -> None:
        """Writes what is held."""
        if self._held:
            held, self._held = self._held, b""
            self._write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class OneWriteProtocol(HttpToolsProtocol):
    """HttpToolsProtocol on a OneWriteTransport, with the extensions `mlpatterns.answer` and `mlpatterns.body`."""

    transport: OneWriteTransport  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWriteTransport(transport))  # type: ignore[arg-type]

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = EXTENSIONS
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP never becomes a request, so the app cannot answer it; its error looks like all others."""
        head = heads.of(400, (JSON, CLOSE), self.server_state.default_headers)
        self.transport.write_whole(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(NO_HTTP), NO_HTTP))
        self.transport.close()

    def on_response_complete(self) -> None:
        self.transport.flush()  # an answer to HEAD has no body that would take the head along
        super().on_response_complete()


def answer(send: Send, status: int, headers: tuple[Header, ...], prediction_id: bytes, body: bytes) -> bool:
    """Writes a whole answer. False if it must go out by `send`, as ASGI has it: something stands between the app and
    this connection, or the connection is in a state that wants uvicorn's own care.

    Raises:
        ValueError: a header holds a line break.
    """
    cycle = getattr(send, "__self__", None)
    if (
        type(cycle) is not RequestResponseCycle
        or cycle.response_started
        or cycle.disconnected
        or not cycle.keep_alive
        or cycle.flow.write_paused
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    head = heads.of(status, headers, cycle.default_headers)
    whole = b"%bcontent-length: %d\r\nx-mlp-prediction-id: %b\r\n\r\n%b" % (head, len(body), prediction_id, body)
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write_whole(whole)  # type: ignore[attr-defined]
    cycle.message_event.set()
    cycle.on_response()
    return True


def body(receive: Receive) -> bytes | None:
    """The whole body of a request, or None if it must be received as ASGI has it: it is not complete, or something
    stands between the app and this connection."""
    cycle = getattr(receive, "__self__", None)
    if (
        type(cycle) is not RequestResponseCycle
        or cycle.more_body
        or cycle.waiting_for_100_continue
        or cycle.disconnected
        or cycle.response_complete
    ):
        return None
    whole = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.flow.resume_reading()
    cycle.message_event.clear()
    return whole


class Heads:
    """The heads of answers as far as they repeat; uvicorn's own headers hold the date, so a head lasts a second."""

    def __init__(self) -> None:
        self._default: list[Header] = []
        self._known: dict[tuple[int, tuple[Header, ...]], bytes] = {}

    def of(self, status: int, headers: tuple[Header, ...], default: list[Header]) -> bytes:
        if default is not self._default:
            self._default = default
            self._known.clear()
        key = (status, headers)
        head = self._known.get(key)
        if head is None:
            head = self._known[key] = _head(status, (*default, *headers))
        return head


def _head(status: int, headers: tuple[Header, ...]) -> bytes:
    if any(b"\n" in part or b"\r" in part for header in headers for part in header):
        raise ValueError("a header holds a line break")
    return b"".join([STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in headers]])


heads = Heads()
EXTENSIONS: dict[str, Any] = {ANSWER_EXTENSION: answer, BODY_EXTENSION: body}
