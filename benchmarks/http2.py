"""The few HTTP/2 frames that a gRPC client needs, as bytes. It never decodes headers, so an answer costs little."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "ACK", "CONTINUATION", "DATA", "END_HEADERS", "END_STREAM", "GOAWAY", "GREETING", "HEADERS", "PING", "PRIORITY",
    "RST_STREAM", "SETTINGS", "WIDE", "WINDOW_UPDATE", "Headers", "frame", "greeting", "initial_window", "literal",
    "number", "split",
]  # fmt: skip

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW_SIZE = 4
WIDE = 2**31 - 1  # the largest window there is: the server never waits for us

_NUMBER, _SETTING = struct.Struct(">I"), struct.Struct(">HI")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + _NUMBER.pack(stream) + payload


def greeting(window: int) -> bytes:
    """What a client sends first: its streams have a window of so many bytes, the connection the largest there is."""
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(SETTINGS, 0, 0, _SETTING.pack(INITIAL_WINDOW_SIZE, window))
        + frame(WINDOW_UPDATE, 0, 0, _NUMBER.pack(WIDE - 65535))
    )


GREETING = greeting(WIDE)


def split(buffer: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Takes the whole frames off the buffer: (kind, flags, stream, payload) of each."""
    at, end = 0, len(buffer)
    while at + 9 <= end:
        after = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
        if after > end:
            break
        yield buffer[at + 3], buffer[at + 4], number(buffer[at + 5 : at + 9]), bytes(buffer[at + 9 : after])
        at = after
    del buffer[:at]


def number(payload: bytes | bytearray) -> int:
    """The 31 bits of a stream's number or of a window's growth."""
    return int(_NUMBER.unpack(payload)[0]) & WIDE


def initial_window(settings: bytes) -> int | None:
    """What a SETTINGS frame says of the window that a new stream has, if anything."""
    return next((value for name, value in _SETTING.iter_unpack(settings) if name == INITIAL_WINDOW_SIZE), None)


class Headers:
    """The headers of a gRPC call on one connection: spelt out once, then by their numbers, as gRPC's own clients do."""

    def __init__(self, path: str, authority: str) -> None:
        spelt = b"\x83\x86"  # POST, http: from the static table
        spelt += b"\x44" + literal(path) + b"\x41" + literal(authority) + b"\x5f" + literal("application/grpc")
        self._block = spelt + b"\x40" + literal("te") + literal("trailers")
        self._known = b"\x83\x86\xc1\xc0\xbf\xbe"  # the four that were spelt, the newest is 62

    def frame(self, stream: int, more: bytes = b"", flags: int = END_HEADERS) -> bytes:
        """The HEADERS frame that opens `stream`, with `more` headers, encoded, at its end."""
        block, self._block = self._block, self._known
        return frame(HEADERS, flags, stream, block + more)


def literal(value: str) -> bytes:
    """A short string as a header block has it, not compressed."""
    if len(value) > 126:
        raise ValueError(f"{value} is too long for a length of one byte")
    return bytes((len(value),)) + value.encode("ascii")
