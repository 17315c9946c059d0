"""A connection pool for one origin. It keeps connections, limits them, and opens one if a request finds none free."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from typing import Any, Protocol

from mlpatterns.load.connection import Connection, PlannedRequest

__all__ = ["OutcomeListener", "Pool"]


class OutcomeListener(Protocol):
    """Counts the outcomes of requests."""

    def answered(self, request: PlannedRequest, status: int, received: int) -> None: ...
    def failed(self, request: PlannedRequest, why: str) -> None: ...


class Pool:
    """Gives each request a free connection at once; if none is free, the requests wait in a FIFO queue.

    Args:
        addresses: where to connect, tried in order; see `resolved`.
        most: the most connections that are open at once.
        timeout: seconds to open a connection.
        tls: for https: the context, and the name that the certificate must have.
    """

    def __init__(
        self,
        addresses: list[tuple[str, int]],
        outcomes: OutcomeListener,
        *,
        most: int,
        timeout: float,
        tls: tuple[ssl.SSLContext, str] | None = None,
    ) -> None:
        self._addresses, self._outcomes, self._most, self._timeout, self._tls = addresses, outcomes, most, timeout, tls
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiting: deque[PlannedRequest] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def submit(self, request: PlannedRequest) -> None:
        """Sends a request at once, or queues it until a connection is free."""
        while self._idle:
            connection = self._idle.pop()  # the last one used: the server is least likely to have closed it
            if not connection.transport.is_closing():
                connection.send(request)
                return
        self._waiting.append(request)
        self._open_more()

    def _open_more(self) -> None:
        """Opens a connection for each waiting request, up to the limit."""
        while len(self._opening) < len(self._waiting) and len(self._opening) + len(self._open) < self._most:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        tls: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls[0], "server_hostname": self._tls[1]}
        error: Exception = OSError("there is no address")
        for host, port in self._addresses:
            try:
                async with asyncio.timeout(self._timeout):
                    await loop.create_connection(lambda: Connection(self), host, port, **tls)
                return
            except (OSError, ssl.SSLError, TimeoutError) as failure:
                error = failure
        request = self._next()
        if request is not None:
            request.done = True
            self._outcomes.failed(request, _reason(error))

    def _next(self) -> PlannedRequest | None:
        """Takes the oldest waiting request that is not done yet."""
        while self._waiting:
            request = self._waiting.popleft()
            if not request.done:
                return request
        return None

    # Methods of ConnectionListener

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)
        self._free(connection)

    def answered(self, connection: Connection, request: PlannedRequest, status: int, received: int) -> None:
        request.done = True
        self._outcomes.answered(request, status, received)
        if not connection.transport.is_closing():
            self._free(connection)

    def failed(self, request: PlannedRequest, why: str) -> None:
        request.done = True
        self._outcomes.failed(request, why)

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()  # a waiting request may now open a new connection

    def _free(self, connection: Connection) -> None:
        request = self._next()
        if request is None:
            self._idle.append(connection)
        else:
            connection.send(request)

    async def close(self) -> None:
        """Closes all connections."""
        self._waiting.clear()
        for task in self._opening:
            task.cancel()
        for connection in list(self._open):
            connection.abort()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in list(self._open):  # opened while the tasks were cancelled
            connection.abort()
        await asyncio.sleep(0)


def _reason(error: Exception) -> str:
    """Why a connection could not be opened, as text without addresses, so that equal reasons are counted together."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no connection could be opened in time"
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    return os.strerror(number).lower() if number else f"no connection could be opened: {type(error).__name__}"
