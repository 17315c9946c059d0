"""Servers of asyncio whose answers, pauses and capacity are known, in the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answering = Callable[[bytes], Awaitable[bytes]]


async def always_ok(request: bytes) -> bytes:
    return OK


@asynccontextmanager
async def server(answer: Answering = always_ok, ssl: object = None) -> AsyncIterator[str]:
    """The URL of a server that answers each request with the bytes that `answer` gives for it; empty bytes, or bytes
    that say so, end the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                given = await answer(head + await reader.readexactly(length))
                writer.write(given)
                if not given or b"connection: close" in given.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has ended
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl, backlog=1024)  # type: ignore[arg-type]
    host, port = listening.sockets[0].getsockname()
    async with listening:
        yield f"{'https' if ssl else 'http'}://{host}:{port}/"
