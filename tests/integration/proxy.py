"""A way to a service that a test can shut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

__all__ = ["Proxy"]


class Proxy:
    """A way to a database that can be shut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self._hanging: socket.socket | None = None

    def open(self) -> None:
        self._end_hanging()
        listening = socket.create_server(("127.0.0.1", self.port))
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._spawn(self._accept(listening))

    async def hang(self) -> None:
        """Connections are accepted, by the system, and nothing is answered."""
        await self.shut()
        self._hanging = socket.create_server(("127.0.0.1", self.port), backlog=100)

    async def shut(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._end_hanging()

    def _end_hanging(self) -> None:
        hanging, self._hanging = self._hanging, None
        if hanging is not None:
            hanging.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        with listening:
            while True:
                here, _ = await asyncio.get_running_loop().sock_accept(listening)
                self._spawn(self._join(here))

    async def _join(self, here: socket.socket) -> None:
        with here, socket.socket() as there:
            there.setblocking(False)
            await asyncio.get_running_loop().sock_connect(there, self._to)
            with suppress(OSError):  # either side left
                await asyncio.gather(_pump(here, there), _pump(there, here))


async def _pump(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, 65_536):
        await loop.sock_sendall(sink, data)
    raise ConnectionResetError  # so that the other way ends too
