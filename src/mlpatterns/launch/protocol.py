"""uvicorn's HTTP protocol with an answer's head and body in one write.

uvicorn writes the head when the app sends `http.response.start` and the body when it sends that, which are two system
calls, two packets and two wake-ups of the client for a hundred bytes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["OneWriteProtocol"]

HEAD, INTERIM = b"HTTP/1.1 ", b"HTTP/1.1 1"


class OneWriteTransport:
    """A transport that holds an answer's head back until its body, its end or the connection's end comes.

    A piece of a body that looks like a head is held too, and goes out as soon as any of these comes: nothing is lost
    or reordered, whatever is written.
    """

    __slots__ = ("_held", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._write = transport, transport.write
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
    """HttpToolsProtocol on a OneWriteTransport."""

    transport: OneWriteTransport  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWriteTransport(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        self.transport.flush()  # an answer to HEAD has no body that would take the head along
        super().on_response_complete()
