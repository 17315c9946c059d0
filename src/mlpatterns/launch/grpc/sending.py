"""What goes out on a connection: at once and in one write where the client lets it, piece by piece where not."""

from __future__ import annotations

import asyncio

from jh2.exceptions import ProtocolError
from msgspec import Struct

from mlpatterns.launch.grpc.answer import HEAD, Header
from mlpatterns.launch.grpc.floods import SMALL, Bucket
from mlpatterns.launch.grpc.http2 import Http2

__all__ = ["HIGH_WATER", "Sender"]

HIGH_WATER = 256 * 1024  # bytes that the transport may hold before a client is waited for
A_PIECE = 128 * 1024  # bytes of one answer, before others get their turn
PIECES_A_TURN = 8  # before the loop does something else
WINDOWS = 2.0  # updates of windows that a frame of DATA may bring about
FRAME = 16 * 1024  # bytes of one, where the client wants no larger ones


class Unsent(Struct):
    """A message that waits for the client's window.

    Attributes:
        data: what is left of it.
        last: the trailers after it, if it is the last.
        done: set when all is handed to the transport.
    """

    stream: int
    data: memoryview
    last: list[Header] | None
    done: asyncio.Future[None]


class Sender:
    """The way out of one connection.

    Args:
        quiet: where the updates of windows are earned that answers bring about.
    """

    def __init__(
        self, http2: Http2, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, quiet: Bucket
    ) -> None:
        self._http2, self._transport, self._loop, self._quiet = http2, transport, loop, quiet
        self._unsent: dict[int, Unsent] = {}
        self._scheduled = False
        self.paused = False

    def answer(self, stream: int, data: bytes, last: list[Header]) -> asyncio.Future[None] | None:
        """A whole answer: headers, one message, trailers.

        Returns:
            What is done when all is out; None if it is.
        """
        return self.message(stream, data, last) if self.head(stream, HEAD) else None

    def message(self, stream: int, data: bytes, last: list[Header] | None = None) -> asyncio.Future[None] | None:
        """One message, and with `last` the trailers; the headers went before. Returns as `answer` does."""
        http2 = self._http2
        self.soon()
        if not self._unsent and not self.paused and len(data) <= min(http2.room(stream), A_PIECE):
            self._send(stream, memoryview(data))
            if last is not None:
                self.head(stream, last, end=True)
            return None
        unsent = self._unsent[stream] = Unsent(stream, memoryview(data), last, self._loop.create_future())
        self.pump()
        return None if unsent.done.done() else unsent.done

    def head(self, stream: int, fields: list[Header], *, end: bool = False) -> bool:
        """Headers, or with `end` the trailers of a stream. False if the client has reset it, as jh2 knows already
        and the call has yet to hear."""
        try:
            self._http2.send_headers(stream, fields, end_stream=end)
        except ProtocolError:
            return False
        self.soon()
        return True

    def drop(self, stream: int) -> None:
        """Nothing more goes out on `stream`."""
        unsent = self._unsent.pop(stream, None)
        if unsent is not None and not unsent.done.done():
            unsent.done.cancel()

    def pump(self) -> None:
        """Sends what windows and transport allow, of each answer a piece in turn."""
        pieces = PIECES_A_TURN
        moved = True
        while moved and not self.paused and pieces > 0:
            moved = False
            for unsent in list(self._unsent.values()):
                if not self.paused and self._sent_some(unsent):
                    moved = True
                    pieces -= 1
            self.flush()
        if moved and self._unsent:
            self._loop.call_soon(self.pump)

    def _sent_some(self, unsent: Unsent) -> bool:
        """Whether a piece of it went out."""
        size = min(len(unsent.data), self._http2.room(unsent.stream), A_PIECE)
        if size <= 0:
            return False
        try:
            self._send(unsent.stream, unsent.data[:size])
            unsent.data = unsent.data[size:]
            if not unsent.data and unsent.last is not None:
                self._http2.send_headers(unsent.stream, unsent.last, end_stream=True)
        except ProtocolError:  # the stream was reset in this turn
            self.drop(unsent.stream)
            return False
        if not unsent.data:
            del self._unsent[unsent.stream]
            if not unsent.done.done():
                unsent.done.set_result(None)
        return True

    def _send(self, stream: int, data: memoryview) -> None:
        """DATA, for whose frames the client may widen its windows."""
        self._http2.send_much(stream, data)
        if len(data) >= SMALL:
            self._quiet.earn(WINDOWS * (1 + len(data) // FRAME))

    def soon(self) -> None:
        """Writes at the end of this turn what has been said in it."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._due)

    def _due(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Writes at once."""
        data = self._http2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
