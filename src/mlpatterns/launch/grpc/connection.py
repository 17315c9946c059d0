"""One client's connection: bytes to calls by way of jh2, and what ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from jh2 import events
from jh2.errors import ErrorCodes
from jh2.exceptions import ProtocolError

from mlpatterns.launch.grpc.answer import HEAD, refused_head, trailers
from mlpatterns.launch.grpc.floods import Calm, Watch
from mlpatterns.launch.grpc.head import Malformed, Refused, read_head
from mlpatterns.launch.grpc.http2 import Http2, header_bytes_borne
from mlpatterns.launch.grpc.life import Life
from mlpatterns.launch.grpc.rpc import Rpc
from mlpatterns.launch.grpc.sending import HIGH_WATER, Sender
from mlpatterns.launch.grpc.served import Served

__all__ = ["Connection"]

log = logging.getLogger("mlpatterns")

MOST_STREAMS = 1000  # of a connection; what the server itself can take is the dispatcher's to refuse
MOST_UNREAD = 4 * HIGH_WATER  # bytes that a client leaves lying before it is given up
ALL_STREAMS = 2**31 - 1
A_BITE = 64 * 1024  # bytes given to jh2 at once: it copies what it has not taken yet for each frame
GOING = b"mlp-goes"  # eight bytes that a ping of ours brings back when a client has seen that we go
LONGEST_GOING = 1.0  # seconds that we wait for it


class Connection(asyncio.Protocol):
    """HTTP/2 with one client."""

    http2: Http2
    sender: Sender

    def __init__(self, served: Served) -> None:
        self.served, self.loop = served, asyncio.get_running_loop()
        self.calls: dict[int, Rpc] = {}
        self._watch = Watch(header_bytes_borne(served.max_header_bytes))
        self._rest = b""  # that waits for its turn
        self._going, self._last = False, ALL_STREAMS  # the highest stream that is still taken
        self._over = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        self.http2 = Http2(MOST_STREAMS, self.served.max_header_bytes)
        self.sender = Sender(self.http2, transport, self.loop, self._watch.quiet)
        self._life = Life(self.loop, lambda: self._watch.greeted, lambda: self._ping(bytes(8)), transport.abort)
        if len(self.served.connections) >= self.served.most_connections:
            transport.abort()
        self.served.connections.add(self)
        self.sender.soon()

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        self._life.stop()
        self.served.connections.discard(self)
        for call in list(self.calls.values()):
            call.leave()

    def pause_writing(self) -> None:
        self.sender.paused = True

    def resume_writing(self) -> None:
        self.sender.paused = False
        self.sender.pump()

    # ---- what comes ----

    def data_received(self, data: bytes) -> None:
        self._life.heard = self.loop.time()
        if self._rest:
            self._rest += data  # reading pauses only after what is on its way already
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Takes as many frames as are one connection's turn."""
        if self._over:
            return
        try:
            taken = self._watch.look(data)
            for at in range(0, taken, A_BITE):
                for event in self.http2.take(data[at : min(at + A_BITE, taken)]):
                    handle = HANDLERS.get(type(event))
                    if handle is not None:
                        handle(self, event)
        except Calm as error:
            self.http2.close_connection(error.code)
            self._close()
        except ProtocolError:  # jh2 has said why
            self._close()
        except Exception:
            log.exception("a gRPC connection failed")
            self.http2.close_connection(ErrorCodes.INTERNAL_ERROR)
            self._close()
        else:
            self._wait_with(data[taken:])
            self.sender.soon()
            if self._transport.get_write_buffer_size() > MOST_UNREAD:
                self._transport.abort()

    def _wait_with(self, rest: bytes) -> None:
        """The other connections come first, then `rest`."""
        if rest and not self._rest:
            self._transport.pause_reading()
        elif self._rest and not rest:
            self._transport.resume_reading()
        self._rest = rest
        if rest:
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        rest = self._rest
        if rest and not self._over:
            self._take(rest)

    def _requested(self, event: events.RequestReceived) -> None:
        stream = event.stream_id
        if stream > self._last or len(self.calls) >= MOST_STREAMS:
            self.reset(stream, ErrorCodes.REFUSED_STREAM)
            return
        try:
            head = read_head(event.headers)
            answering = self.served.find(head.path)
            if answering is None:
                raise Refused("UNIMPLEMENTED", "there is no such method")
        except Malformed:
            self.reset(stream, ErrorCodes.PROTOCOL_ERROR)
        except Refused as error:
            head_of = HEAD if error.http == 200 else refused_head(error.http)
            self.sender.head(stream, [*head_of, *trailers(error.status, error.details, ())], end=True)
            if event.stream_ended is None:
                self.reset(stream, ErrorCodes.NO_ERROR)
        else:
            self.http2.open_calls += 1
            self.calls[stream] = Rpc(self, stream, head, answering)

    def _came(self, event: events.DataReceived) -> None:
        call = self.calls.get(event.stream_id)
        if call is not None:
            call.take(event.data)

    def _ended(self, event: events.StreamEnded) -> None:
        call = self.calls.get(event.stream_id)
        if call is not None:
            call.finish()

    def _left(self, event: events.StreamReset) -> None:
        self.sender.drop(event.stream_id)
        call = self.calls.get(event.stream_id)
        if call is not None:
            call.leave()

    def _widened(self, event: events.WindowUpdated) -> None:
        self.sender.pump()

    def _changed(self, event: events.RemoteSettingsChanged) -> None:
        self.http2.settled()
        self.sender.pump()

    def _answered_ping(self, event: events.PingAckReceived) -> None:
        if event.ping_data == GOING:
            self._gone()

    def _leaves(self, event: events.ConnectionTerminated) -> None:
        """The client opens no more streams; those that are open are answered."""
        self._last = self.http2.highest_inbound_stream_id
        self._going = True
        self._close_when_done()

    # ---- what calls ask for ----

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """Ends a stream at once."""
        self.sender.drop(stream)
        try:
            self.http2.reset_stream(stream, code)
        except ProtocolError:
            return  # it has ended already
        self.sender.soon()

    def closed(self, stream: int) -> None:
        """A call has ended."""
        if self.calls.pop(stream, None) is not None:
            self.http2.open_calls -= 1
        if self._over:
            self.sender.drop(stream)
        else:
            self._close_when_done()

    # ---- the end ----

    def drain(self) -> None:
        """Asks the client to go; what is on its way is answered, then the connection is closed (RFC 9113, 6.8)."""
        if self._going or self._over:
            return
        self._going = True
        self.http2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=ALL_STREAMS)
        self._ping(GOING)
        self.loop.call_later(LONGEST_GOING, self._gone)

    def _gone(self) -> None:
        if self._over or self._last != ALL_STREAMS:
            return
        self._last = self.http2.highest_inbound_stream_id
        self.http2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=self._last)
        self.sender.soon()
        self._close_when_done()

    def abort(self) -> None:
        """Ends all at once."""
        self._transport.abort()

    def _close_when_done(self) -> None:
        if self._going and self._last != ALL_STREAMS and not self.calls and not self._over:
            self._close()

    def _close(self) -> None:
        """Writes what is to be written, and closes."""
        self._over = True
        self.sender.flush()
        self._transport.close()
        self._life.stop()
        self.loop.call_later(self.served.patience, self._transport.abort)  # of one that does not read it

    def _ping(self, data: bytes) -> None:
        self.http2.ping(data)
        self.sender.soon()


HANDLERS: dict[type, Callable[[Connection, Any], None]] = {
    events.RequestReceived: Connection._requested,
    events.DataReceived: Connection._came,
    events.StreamEnded: Connection._ended,
    events.StreamReset: Connection._left,
    events.WindowUpdated: Connection._widened,
    events.RemoteSettingsChanged: Connection._changed,
    events.PingAckReceived: Connection._answered_ping,
    events.ConnectionTerminated: Connection._leaves,
}
