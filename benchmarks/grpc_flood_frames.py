"""The HTTP/2 frames that each kind of flood sends on one connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import sleep

from msgspec import Struct

from benchmarks.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WIDE,
    WINDOW_UPDATE,
    Headers,
    frame,
    literal,
)
from benchmarks.messages import INFER

__all__ = ["FLOODS", "Flood"]

UNKNOWN = 0xEE  # a kind of frame that HTTP/2 has not
CANCEL = b"\0\0\0\x08"
BURST = 500  # frames that are sent at a time
LARGEST_FRAME = 16384  # bytes of its payload, before the server's settings are in force
SHORT_FIELD_FRAMES = 29
STREAMS = 100  # on a connection whose streams stay open

Burst = tuple[bytes, int]


class Flood(Struct, frozen=True):
    """What one connection sends.

    Attributes:
        bursts: from the server's name and a ModelInferRequest to (bytes, frames), again and again; at its end the
            connection stays open, and says nothing more.
        window: of a stream, in bytes, as the client announces it.
        reads: whether the client takes what the server sends.
        greets: whether it begins as HTTP/2 does.
        connections: at once; 0 means as many as the command says.
    """

    bursts: Callable[[str, bytes], Iterator[Burst]]
    window: int = 65535
    reads: bool = True
    greets: bool = True
    connections: int = 0


def _streams() -> Iterator[int]:
    yield from range(1, 2**31, 2)


def _repeated(*frames: bytes) -> Iterator[Burst]:
    burst = b"".join(frames) * BURST
    while True:
        yield burst, BURST * len(frames)


def _header_blocks(authority: str, message: bytes) -> Iterator[Burst]:
    """Blocks of 12 KB of headers that no table keeps: larger than most servers' sum, within the size of a frame."""
    headers = Headers(INFER, authority)
    more = b"".join(b"\x00" + literal(f"x-{number:03}") + literal("v" * 100) for number in range(110))
    for stream in _streams():
        yield headers.frame(stream, more) + frame(RST_STREAM, 0, stream, CANCEL), 2


def _continuations(authority: str, message: bytes) -> Iterator[Burst]:
    """One block that never ends: a HEADERS frame, and CONTINUATION frames without END_HEADERS."""
    yield Headers(INFER, authority).frame(1, flags=0), 1
    yield from _repeated(frame(CONTINUATION, 0, 1, b"\x00" + literal("x-more") + literal("v" * 100)))


def _short_fields(authority: str, message: bytes) -> Iterator[Burst]:
    """Half a megabyte of one block that does not end, in which each byte is an empty field of the table.

    The server counts 33 bytes for each, and bounds their sum only for a client that has acknowledged its settings. This
    client does so when all is sent: within a block that is an error, which ends the connection.
    """
    more = b"\x40" + literal("a") + literal("")
    fields = frame(CONTINUATION, 0, 1, b"\xbe" * LARGEST_FRAME)
    yield Headers(INFER, authority).frame(1, more, flags=0) + fields * SHORT_FIELD_FRAMES, 1 + SHORT_FIELD_FRAMES


def _compressed_headers(authority: str, message: bytes) -> Iterator[Burst]:
    """A header of 4,000 bytes goes into the table once; then each byte of a block is that header again."""
    headers = Headers(INFER, authority)
    large = b"\x40" + literal("x-large") + b"\x7f" + bytes((4000 - 127 & 0x7F | 0x80, 4000 - 127 >> 7)) + b"v" * 4000
    yield headers.frame(1, large) + frame(RST_STREAM, 0, 1, CANCEL), 2
    for stream in range(3, 2**31, 2):
        block = b"\x83\x86" + b"\xbe" * 16000
        yield frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, CANCEL), 2


def _resets(authority: str, message: bytes) -> Iterator[Burst]:
    """Each stream is opened and given up at once: what CVE-2023-44487 calls a rapid reset."""
    headers, parts = Headers(INFER, authority), list[bytes]()
    for stream in _streams():
        parts += (headers.frame(stream), frame(RST_STREAM, 0, stream, CANCEL))
        if len(parts) >= BURST:
            yield b"".join(parts), len(parts)
            parts = []


def _calls_reset(authority: str, message: bytes) -> Iterator[Burst]:
    """Whole calls, each given up as soon as it is sent."""
    headers, parts = Headers(INFER, authority), list[bytes]()
    for stream in _streams():
        parts += (
            headers.frame(stream),
            frame(DATA, END_STREAM, stream, _prefixed(message)),
            frame(RST_STREAM, 0, stream, CANCEL),
        )
        if len(parts) >= 60:
            yield b"".join(parts), len(parts)
            parts = []


def _pings(authority: str, message: bytes) -> Iterator[Burst]:
    yield from _repeated(frame(PING, 0, 0, b"12345678"))


def _settings(authority: str, message: bytes) -> Iterator[Burst]:
    """Each has another window for new streams, and wants an answer."""
    yield from _repeated(frame(SETTINGS, 0, 0, b"\0\x04\0\0\x80\0"), frame(SETTINGS, 0, 0, b"\0\x04\0\0\x40\0"))


def _window_updates(authority: str, message: bytes) -> Iterator[Burst]:
    yield from _repeated(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"))


def _empty_data(authority: str, message: bytes) -> Iterator[Burst]:
    """DATA frames without a byte, on a stream that never ends."""
    yield Headers(INFER, authority).frame(1), 1
    yield from _repeated(frame(DATA, 0, 1))


def _unknown_frames(authority: str, message: bytes) -> Iterator[Burst]:
    yield from _repeated(frame(UNKNOWN, 0, 0), frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"))


def _silence(authority: str, message: bytes) -> Iterator[Burst]:
    return iter(())


def _slow_readers(authority: str, message: bytes) -> Iterator[Burst]:
    """Calls whose answers are large, on streams whose window is 0."""
    headers = Headers(INFER, authority)
    for stream in range(1, 2 * STREAMS, 2):
        yield headers.frame(stream) + frame(DATA, END_STREAM, stream, _prefixed(message)), 2
        sleep(0.02)


def _slow_senders(authority: str, message: bytes) -> Iterator[Burst]:
    """Messages that say they are 60 MB, of which a byte comes now and then."""
    headers = Headers(INFER, authority)
    begin = b"\0" + (60 * 1024 * 1024).to_bytes(4, "big")
    for stream in range(1, 2 * STREAMS, 2):
        yield headers.frame(stream) + frame(DATA, 0, stream, begin), 2
    while True:
        sleep(1.0)
        yield b"".join(frame(DATA, 0, stream, b"\0") for stream in range(1, 2 * STREAMS, 2)), STREAMS


def _prefixed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


FLOODS = {
    "header blocks": Flood(_header_blocks),
    "endless header block": Flood(_continuations),
    "unended block of short fields": Flood(_short_fields),
    "compressed headers": Flood(_compressed_headers),
    "rapid resets": Flood(_resets),
    "calls, each reset": Flood(_calls_reset),
    "pings": Flood(_pings),
    "settings": Flood(_settings),
    "pings, nothing read": Flood(_pings, reads=False),
    "settings, nothing read": Flood(_settings, reads=False),
    "window updates": Flood(_window_updates),
    "empty DATA": Flood(_empty_data),
    "unknown frames": Flood(_unknown_frames),
    "silent connections": Flood(_silence, greets=False, connections=1000),
    "greeted, then silent": Flood(_silence, connections=1000),
    "slow readers, window 0": Flood(_slow_readers, window=0),
    "slow readers, no byte read": Flood(_slow_readers, window=WIDE, reads=False),
    "slow senders": Flood(_slow_senders, connections=20),
}
