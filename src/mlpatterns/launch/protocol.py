"""uvicorn's HTTP protocol, for requests that come whole and answers that are known whole.

uvicorn writes the head of an answer when the app sends `http.response.start` and the body when it sends that: two
system calls, two packets and two wake-ups of the client for a hundred bytes. Here they are one write, also where the
app hands over the whole answer in one call (`whole.py`). And a request of which all has come with its first packet,
which is nearly every one, has a `Turn` of its connection's lane, where uvicorn would start a task for it.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

from httptools import parse_url
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mlpatterns.launch.lane import Lane
from mlpatterns.launch.turns import Turn
from mlpatterns.launch.whole import EXTENSIONS, heads
from mlpatterns.server.exchange import JSON

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
    """HttpToolsProtocol on a OneWriteTransport, with the extensions `mlpatterns.answer` and `mlpatterns.body`.

    It looks at no `limit_concurrency`: the app has its own limits.

    Attributes:
        turn: the request that has come whole and has not had its turn yet.
        headed: the scope of the last request of which the head is complete.
        idle: rounds of whoever watches connections since the last byte came.
    """

    transport: OneWriteTransport  # type: ignore[assignment]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        lane = getattr(self.server_state, "lane", None)
        if lane is None:
            lane = self.server_state.lane = Lane(self.loop)  # type: ignore[attr-defined]
        self._lane: Lane = lane
        self.turn: Turn | None = None
        self.headed: Any = None
        self.idle = 0
        self._first = False  # the next head is the first in this packet
        self._body: bytes | None = None  # what has come of a request that may come whole with this packet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWriteTransport(transport))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self.idle, self._first = 0, True
        super().data_received(data)
        if self._body is not None:
            body, self._body = self._body, None
            if not self.transport.is_closing():  # which it is after a body that is no HTTP
                super().on_headers_complete()
                if body:
                    super().on_body(body)

    def on_headers_complete(self) -> None:
        self.headed = self.scope
        self.scope["extensions"] = EXTENSIONS
        self._wait_no_longer()  # what came before must be answered first: the pipeline sees to that
        first, self._first = self._first, False
        if first and self._simple():
            self._body = b""
        else:
            super().on_headers_complete()

    def _simple(self) -> bool:
        parser, cycle = self.parser, self.cycle
        return (
            not self.expect_100_continue
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
            and not self.flow.write_paused
            and (cycle is None or cycle.response_complete)
        )

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            super().on_body(body)
        else:
            self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        body = self._body
        if body is None:
            super().on_message_complete()
            return
        self._body = None
        scope, url, root = self.scope, parse_url(self.url), self.root_path
        raw = url.path
        path = raw.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = root + (unquote(path) if "%" in path else path)
        scope["raw_path"] = root.encode("ascii") + raw
        scope["query_string"] = url.query or b""
        self.turn = turn = Turn(self, scope, body)
        self._lane.add(turn.have)

    def cycle_of(self, turn: Turn) -> RequestResponseCycle:
        """uvicorn's own for this request, in the state that the turn is in."""
        cycle = self.cycle = RequestResponseCycle(
            scope=turn.scope,
            transport=self.transport,  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        if turn.body is not None:
            cycle.body += turn.body
            cycle.message_event.set()
        cycle.response_started = cycle.response_complete = turn.answered
        cycle.disconnected = self.parser is None
        return cycle

    def unfinished_head(self) -> tuple[Any, int] | None:
        """(what identifies the head, its bytes so far), or None if the connection is between or in requests."""
        scope: Any = self.scope  # uvicorn makes a new one when a request begins
        if scope is None:
            return (id(self), "new"), 0
        if scope is self.headed:
            return None
        return (id(self), id(scope)), sum(len(name) + len(value) for name, value in scope["headers"])

    def between_requests(self) -> bool:
        return (
            self.scope is self.headed
            and self.turn is None
            and self._body is None
            and (self.cycle is None or self.cycle.response_complete)
        )

    def shutdown(self) -> None:
        self._wait_no_longer()  # or it would be closed with the connection
        super().shutdown()

    def _wait_no_longer(self) -> None:
        """The request that waits for its turn, if there is one, becomes one of uvicorn's."""
        if self.turn is not None:
            turn, self.turn = self.turn, None
            turn.apart()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP never becomes a request, so the app cannot answer it; its error looks like all others."""
        head = heads.of(400, (JSON, CLOSE), self.server_state.default_headers)
        self.transport.write_whole(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(NO_HTTP), NO_HTTP))
        self.transport.close()

    def on_response_complete(self) -> None:
        self.transport.flush()  # an answer to HEAD has no body that would take the head along
        super().on_response_complete()
