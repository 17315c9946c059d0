"""uvicorn's HTTP protocol, for answers that are known whole.

uvicorn writes the head of an answer when the app sends `http.response.start` and the body when it sends that: two
system calls, two packets and two wake-ups of the client for a hundred bytes. Here they are one write; and an app that
has the whole answer may hand it over in one call, the ASGI extension `mlpatterns.answer`, which leaves out what
uvicorn must do for an app that it cannot trust (each header checked by two expressions, two coroutines, two messages).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from mlpatterns.server.exchange import ANSWER_EXTENSION, Header, Send

__all__ = ["OneWriteProtocol"]

HEAD, INTERIM = b"HTTP/1.1 ", b"HTTP/1.1 1"


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
    """HttpToolsProtocol on a OneWriteTransport, with the extension `mlpatterns.answer`."""

    transport: OneWriteTransport  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWriteTransport(transport))  # type: ignore[arg-type]

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = EXTENSIONS
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self.transport.flush()  # an answer to HEAD has no body that would take the head along
        super().on_response_complete()


def answer(send: Send, status: int, headers: list[Header], body: bytes) -> bool:
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
    lines = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        lines += (name, b": ", value, b"\r\n")
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    head = b"".join(lines)
    count = 1 + len(cycle.default_headers) + len(headers)
    if head.count(b"\n") != count or head.count(b"\r") != count:
        raise ValueError("a header holds a line break")
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write_whole(b"%b\r\n%b" % (head, body))  # type: ignore[attr-defined]
    cycle.message_event.set()
    cycle.on_response()
    return True


EXTENSIONS: dict[str, Any] = {ANSWER_EXTENSION: answer}
