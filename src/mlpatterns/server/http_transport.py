"""The transport of an HTTP connection: it sends an answer in one write, and counts the bytes that the client takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["OneWriteTransport"]

SLICE = 128 * 1024  # bytes per write through TLS
HEAD, INTERIM = b"HTTP/1.1 ", b"HTTP/1.1 1"


class OneWriteTransport:
    """A transport that writes an answer's head together with its body.

    uvicorn writes the head when the app sends `http.response.start`, and the body when the app sends the body. That is
    two system calls, two packets and two wake-ups of the client for a hundred bytes. This transport holds the head
    until the next write, but at most until the event loop has run its due callbacks. It loses or reorders no bytes.

    Attributes:
        written: the number of bytes given to the transport so far.
    """

    __slots__ = ("_held", "_loop", "_transport", "_write", "is_closing", "written")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        write, is_tls = transport.write, transport.get_extra_info("sslcontext") is not None
        self._write: Callable[[bytes], None] = partial(_write_slices, write) if is_tls else write
        self.is_closing = transport.is_closing
        self._held, self.written = b"", 0

    @property
    def taken(self) -> int:
        """The number of written bytes that have left this process, to the kernel's buffer or to the client."""
        return self.written - self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        self.written += len(data)
        held = self._held
        if held:
            self._held = b""
            self._write(held + data)
        elif data.startswith(HEAD) and not data.startswith(INTERIM):
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            self._write(data)

    def write_whole(self, data: bytes) -> None:
        """Writes the held head, if there is one, and then `data`. It does not wait for another write."""
        self.flush()
        self.written += len(data)
        self._write(data)

    def flush(self) -> None:
        """Writes the held head, if there is one."""
        if self._held:
            held, self._held = self._held, b""
            self._write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _write_slices(write: Callable[[Any], None], data: bytes) -> None:
    """Writes through TLS in slices, because the TLS transport encrypts each write as a whole and then stops counting
    its bytes."""
    view = memoryview(data)
    for start in range(0, len(data), SLICE):
        write(view[start : start + SLICE])
