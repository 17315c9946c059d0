"""Clients that do not read their answers: what they hold is counted and bounded, and they are disconnected in time."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import NoneType
from typing import Any

import pytest
import uvicorn
import uvloop

from mlpatterns.predictor import Caller, Operation, Streamed
from mlpatterns.server.app import serve
from mlpatterns.server.http_protocol import OneWriteProtocol, abort_slow_readers
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel

MEGABYTE = 2**20
LARGE = 10 * MEGABYTE  # more than the kernel takes for a client that does not read
FULL = b'{"error":"the server holds as many bytes of requests and answers as it may; try again"}'
LOOPS: list[Any] = [
    pytest.param(uvloop.new_event_loop, id="uvloop"),
    pytest.param(asyncio.new_event_loop, id="asyncio"),
]


class LargeAnswers(CountingModel):
    """`/page` and `/query` answer 10 MB at once, `/stream` without end in chunks of one MB.

    `open_streams` are those that go on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = (
            Operation("page", "page", "public", NoneType, bytes, self._page),
            Operation("query", "query", "public", NoneType, str, self._query),
            Operation("stream", "query", "public", NoneType, str, self._stream),
        )
        self.open_streams = 0

    async def _page(self, _: None, caller: Caller) -> bytes:
        """A page."""
        return b"x" * LARGE

    async def _query(self, _: None, caller: Caller) -> str:
        """A long text."""
        return "x" * LARGE

    async def _stream(self, _: None, caller: Caller) -> Streamed:
        """Without end."""
        return Streamed(self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        self.open_streams += 1
        try:
            while True:
                yield b"x" * MEGABYTE
        finally:
            self.open_streams -= 1


class Served:
    """A server on a port of this machine, without the worker around it, whose sweep is `sweep`."""

    def __init__(self, model: LargeAnswers, port: int, state: uvicorn.server.ServerState) -> None:
        self.model, self.port, self._state = model, port, state
        self._unread: list[socket.socket] = []

    async def get(self, path: str) -> tuple[bytes, bytes]:
        """The head and the body of an answer, read whole."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        answer = await asyncio.wait_for(reader.read(-1), 20)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return head, body

    async def get_unread(self, path: str) -> socket.socket:
        """A connection that has asked, whose answer is there and nobody reads."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        self._unread.append(connection)
        connection.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        while not await loop.sock_recv(connection, 1):
            pass
        await asyncio.sleep(0.05)
        return connection

    def sweep(self) -> None:
        """What a worker does each second."""
        abort_slow_readers(self.connections(), 30.0)

    def wait(self, seconds: float) -> None:
        """As if so much time had passed since the last sweep."""
        for connection in self.connections():
            connection.taken_at -= seconds

    def sweep_after(self, seconds: float) -> None:
        """Sweeps now and again `seconds` later, with nothing read between."""
        self.sweep()
        self.wait(seconds)
        self.sweep()

    def connections(self) -> list[OneWriteProtocol]:
        """Those that are open."""
        return list(self._state.connections)  # type: ignore[arg-type]

    async def open_connections(self, most: int) -> int:
        """How many there are, after at most 2 s for them to become `most`."""
        for _ in range(200):
            if len(self._state.connections) <= most:
                break
            await asyncio.sleep(0.01)
        return len(self._state.connections)

    def close(self) -> None:
        for connection in self._unread:
            connection.close()


@asynccontextmanager
async def serving(max_held_bytes: int) -> AsyncIterator[Served]:
    model = LargeAnswers()
    app = serve(lambda: model, settings=Settings(max_held_bytes=max_held_bytes, control="memory://"))
    config = uvicorn.Config(app, http=OneWriteProtocol, lifespan="off", log_config=None, access_log=False)
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()
    async with app.running():
        listening = await loop.create_server(lambda: OneWriteProtocol(config, state, {}), "127.0.0.1", 0)
        served = Served(model, listening.sockets[0].getsockname()[1], state)
        try:
            yield served
        finally:
            served.close()
            listening.close()
            for connection in list(state.connections):
                connection.transport.abort()
            await served.open_connections(0)


def run(test: Callable[[Served], Coroutine[Any, Any, None]], loop: Any, max_held_bytes: int) -> None:
    async def main() -> None:
        async with serving(max_held_bytes) as served:
            await test(served)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("path", ["/page", "/query"])
def test_an_answer_that_is_not_read_counts_until_its_client_is_disconnected(path: str, loop: Any) -> None:
    async def test(served: Served) -> None:
        await served.get_unread(path)
        head, body = await served.get("/metadata")
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 503 Service Unavailable", FULL)
        assert b"retry-after: 1" in head.split(b"\r\n")
        assert (await served.get("/health/live"))[1] == b'{"live":true}'
        served.sweep_after(29)
        assert await served.open_connections(1) == 1
        served.sweep_after(31)
        assert await served.open_connections(0) == 0
        assert (await served.get("/metadata"))[0].startswith(b"HTTP/1.1 200")

    run(test, loop, LARGE)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_that_is_read_stops_counting(loop: Any) -> None:
    async def test(served: Served) -> None:
        for _ in range(3):
            assert len((await served.get("/page"))[1]) == LARGE
        assert (await served.get("/metadata"))[0].startswith(b"HTTP/1.1 200")

    run(test, loop, LARGE)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_large_answer_is_refused_where_it_does_not_fit_and_goes_out_when_it_is_alone(loop: Any) -> None:
    async def test(served: Served) -> None:
        assert len((await served.get("/page"))[1]) == LARGE  # larger than the bound, and alone
        connection = await served.get_unread("/page")
        connection.close()
        assert await served.open_connections(0) == 0
        await served.get_unread("/stream")  # about two chunks
        head, body = await served.get("/page")
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 503 Service Unavailable", FULL)
        assert (await served.get("/metadata"))[0].startswith(b"HTTP/1.1 200")

    run(test, loop, LARGE - MEGABYTE)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_that_is_not_read_counts_and_ends_when_its_client_is_disconnected(loop: Any) -> None:
    async def test(served: Served) -> None:
        await served.get_unread("/stream")
        assert served.model.open_streams == 1
        assert (await served.get("/metadata"))[1] == FULL
        served.sweep_after(31)
        assert await served.open_connections(0) == 0
        await asyncio.sleep(0.05)
        assert served.model.open_streams == 0
        assert (await served.get("/metadata"))[0].startswith(b"HTTP/1.1 200")

    run(test, loop, MEGABYTE)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_reads_a_little_keeps_its_connection(loop: Any) -> None:
    async def test(served: Served) -> None:
        connection = await served.get_unread("/stream")
        running = asyncio.get_running_loop()
        for _ in range(3):
            served.sweep()
            served.wait(31)
            left = 4 * MEGABYTE
            while left > 0:
                chunk = await asyncio.wait_for(running.sock_recv(connection, MEGABYTE), 20)
                assert chunk
                left -= len(chunk)
            served.sweep()
            assert await served.open_connections(1) == 1

    run(test, loop, LARGE)


def test_a_lost_connection_is_freed_without_the_garbage_collector() -> None:
    async def test(served: Served) -> None:
        await served.get_unread("/page")
        lost = weakref.ref(served.connections()[0])
        served.sweep_after(31)
        gc.disable()
        try:
            assert await served.open_connections(0) == 0
            await asyncio.sleep(0.05)
            assert lost() is None
        finally:
            gc.enable()

    run(test, uvloop.new_event_loop, LARGE)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_closes_before_its_answer_is_read_is_aborted_too(loop: Any) -> None:
    async def test(served: Served) -> None:
        await served.get_unread("/page")
        (connection,) = served.connections()
        connection.transport.close()  # as the timer of kept connections does
        await asyncio.sleep(0.02)
        assert await served.open_connections(1) == 1
        served.sweep_after(31)
        assert await served.open_connections(0) == 0

    run(test, loop, LARGE)
