"""asyncio servers with known answers, pauses and capacity, in the event loop of the test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answering = Callable[[bytes], Awaitable[bytes]]


async def always_ok(request: bytes) -> bytes:
    return OK


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Answering, tasks: set[asyncio.Task[None]]) -> None:
        self._answer, self._tasks = answer, tasks
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        if end and len(body) == int((lengths or [b"0"])[0]):
            task = asyncio.get_running_loop().create_task(self._work(self._read))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._read = b""

    async def _work(self, request: bytes) -> None:
        given = await self._answer(request)
        self._transport.write(given)
        if not given or b"connection: close" in given.lower():
            self._transport.close()


@asynccontextmanager
async def server(answer: Answering = always_ok, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of a server that sends the bytes that `answer` returns for each request. It closes the connection after
    empty bytes or a ``Connection: close`` header."""
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: _Connection(answer, tasks), "127.0.0.1", 0, ssl=tls, backlog=1024)
    host, port = listening.sockets[0].getsockname()
    async with listening:
        yield f"{'https' if tls else 'http'}://{host}:{port}/"
        for task in list(tasks):
            task.cancel()
