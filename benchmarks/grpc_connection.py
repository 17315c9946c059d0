"""A connection that calls one gRPC method repeatedly, and writes the HTTP/2 frames itself."""

from __future__ import annotations

import socket
from collections import deque
from time import perf_counter

from benchmarks.http2 import (
    DATA,
    END_STREAM,
    GOAWAY,
    GREETING,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Headers,
    frame,
    initial_window,
    number,
    split,
)

__all__ = ["PATIENCE", "Connection", "ask_once"]

LARGEST = 16384  # bytes of a frame that every server takes
PATIENCE = 10.0  # seconds without any answer


class Connection:
    """One connection to a server, and what came back on it.

    Args:
        port: on this machine.
        method: the path of the call, as `/package.Service/Method`.
        message: the request, as protobuf would write it.

    Raises:
        OSError: nobody listens, or the connection broke.
    """

    def __init__(self, port: int, method: str, message: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(GREETING)
        self.latencies: list[float] = []
        self.refused = self.broken = 0
        self.answer = b""
        self._headers = Headers(method, f"127.0.0.1:{port}")
        self._message = b"\0" + len(message).to_bytes(4, "big") + message
        self._buffer = bytearray()
        self._next = 1
        self._window = self._stream_window = 65535  # what every HTTP/2 connection begins with
        self._began: dict[int, float] = {}
        self._bodies: dict[int, bytearray] = {}
        self._windows: dict[int, int] = {}
        self._unsent: deque[tuple[int, int]] = deque()  # (stream, first byte of the message that is not sent)

    @property
    def idle(self) -> bool:
        """Whether no call is in flight."""
        return not self._began

    def call(self) -> None:
        """Begins one more call."""
        stream, self._next = self._next, self._next + 2
        self._began[stream], self._bodies[stream] = perf_counter(), bytearray()
        self._windows[stream] = self._stream_window
        self._unsent.append((stream, 0))
        self._send(self._headers.frame(stream))

    def read(self) -> int:
        """Takes what has come and gives the number of calls that ended."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data
        ended, back, taken = 0, b"", 0
        for kind, flags, stream, payload in split(self._buffer):
            if kind in (DATA, HEADERS):
                if kind == DATA:
                    self._bodies[stream] += payload
                    taken += len(payload)
                if flags & END_STREAM:
                    self._end(stream)
                    ended += 1
            elif kind == RST_STREAM:
                self.broken += self._began.pop(stream, None) is not None
                ended += 1
            else:
                back += self._manage(kind, flags, stream, payload)
        if taken:
            back += frame(WINDOW_UPDATE, 0, 0, taken.to_bytes(4, "big"))
        self._send(back)
        return ended

    def _manage(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        """What the connection itself needs; gives the frames to answer with."""
        if kind == GOAWAY:
            raise ConnectionError(f"the server says goodbye: {payload[8:].decode(errors='replace')}")
        if kind == WINDOW_UPDATE and stream == 0:
            self._window += number(payload)
        elif kind == WINDOW_UPDATE and stream in self._windows:
            self._windows[stream] += number(payload)
        elif kind == SETTINGS and not flags:
            self._resize(initial_window(payload))
            return frame(SETTINGS, 1, 0)
        elif kind == PING and not flags:
            return frame(PING, 1, 0, payload)
        return b""

    def _resize(self, size: int | None) -> None:
        if size is not None:
            self._windows = {stream: left + size - self._stream_window for stream, left in self._windows.items()}
            self._stream_window = size

    def _end(self, stream: int) -> None:
        body = self._bodies.pop(stream)
        self._windows.pop(stream)
        self.latencies.append(perf_counter() - self._began.pop(stream))
        self.refused += len(body) < 5  # an error has a status and no message
        self.answer = bytes(body[5:])

    def _send(self, out: bytes) -> None:
        """Sends `out` and as much of the messages as the server's windows allow, in the order of the calls."""
        parts = [out]
        for _ in range(len(self._unsent)):
            stream, at = self._unsent.popleft()
            while at < len(self._message):
                size = min(LARGEST, len(self._message) - at, self._window, self._windows.get(stream, 0))
                if size <= 0:
                    break
                last = END_STREAM if at + size == len(self._message) else 0
                parts.append(frame(DATA, last, stream, self._message[at : at + size]))
                self._window -= size
                self._windows[stream] -= size
                at += size
            if at < len(self._message) and stream in self._windows:
                self._unsent.append((stream, at))
        if any(parts):
            self.socket.sendall(b"".join(parts))


def ask_once(port: int, method: str, message: bytes) -> bytes | None:
    """The answer's message, or None if the server refused.

    Raises:
        OSError: nobody listens, or the connection broke.
    """
    connection = Connection(port, method, message)
    with connection.socket:
        connection.call()
        while not connection.idle:
            connection.read()
    return None if connection.refused or connection.broken else connection.answer
