"""Finds gRPC clients that do not take their answers, and closes their connections.

grpc.aio keeps an answer until HTTP/2 flow control lets it be sent, and cannot abort a call whose status is being sent.
So this code closes the socket of the connection, which it finds through the operating system. The system also reports
how many bytes the client has acknowledged. After the close, gRPC ends all calls of the connection and frees their
memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import struct
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from mlpatterns.errors import Overloaded
from mlpatterns.server.buffers import SMALL_ANSWER, Buffers

__all__ = ["Stalled", "Unsent", "sockets_of"]

log = logging.getLogger("mlpatterns")

LEAST_BYTES = 16 * 1024  # a client must take this much within the allowed time; answers to its pings are no progress
LOOKS = 6  # checks within the allowed time
PROMPT = 1.0  # seconds; a client that reads takes one of its answers within this time
LONGEST = 20  # times the allowed time; after it the connection is closed, even if the client makes progress
BYTES_ACKED = struct.Struct("=120xQ")  # tcpi_bytes_acked of Linux's struct tcp_info, since version 4.1
NO_LINGER = struct.pack("ii", 1, 0)  # the value of SO_LINGER that drops data that is not yet sent

Address = tuple[str, int]


class Unsent:
    """The calls whose answers are being sent, the oldest first.

    Args:
        most: the most bytes of large answers that may wait on one connection.
        buffers: counts the bytes of all connections.
    """

    def __init__(self, most: int, buffers: Buffers) -> None:
        self._most, self._buffers = most, buffers
        self._answers: dict[asyncio.Task[Any], tuple[Any, float]] = {}
        self._connections: dict[str, _Waiting] = {}

    def check(self, rpc: Any, size: int) -> None:
        """Refuses a large answer to a client that does not take its earlier answers.

        Raises:
            Overloaded: too many bytes wait on the client's connection, and the client has taken no answer for a second.
                If the server is crowded, too many bytes are enough.
        """
        waiting = self._connections.get(rpc.peer()) if size > SMALL_ANSWER else None
        if waiting is None or waiting.bytes + size <= self._most:
            return
        if self.crowded or monotonic() - waiting.since > PROMPT:
            raise Overloaded(
                "the client does not read its answers on this connection; read them, and try again", retry_after=1
            )

    @property
    def crowded(self) -> bool:
        """Whether the server holds more than half of the bytes that it may hold."""
        return self._buffers.held > self._buffers.most_together / 2

    def add(self, rpc: Any, size: int) -> None:
        """Records an answer of `size` bytes that the current task returns to grpc.aio next. This task ends when the
        answer is sent or the client has left."""
        task = asyncio.current_task()
        assert task is not None
        self._answers[task] = rpc, monotonic()
        task.add_done_callback(self._answers.pop)
        if size > SMALL_ANSWER:
            peer = rpc.peer()
            waiting = self._connections.setdefault(peer, _Waiting(since=monotonic()))
            waiting.bytes += size
            task.add_done_callback(lambda _: self._taken(peer, waiting, size))

    def _taken(self, peer: str, waiting: _Waiting, size: int) -> None:
        waiting.bytes -= size
        waiting.since = monotonic()
        if waiting.bytes == 0:
            self._connections.pop(peer, None)

    def clients(self, seconds: float) -> dict[Address, float]:
        """The clients with an answer that has waited for `seconds`, each with the start of its longest wait."""
        before, found = monotonic() - seconds, dict[Address, float]()
        for rpc, since in self._answers.values():
            if since > before:
                break
            address = _address(rpc.peer())
            if address is not None:
                found.setdefault(address, since)
        return found


class _Waiting(Struct):
    """The large answers that wait on one connection: their bytes, and when the client last took one, or the first one
    was added (monotonic seconds)."""

    since: float
    bytes: int = 0


class _Progress(Struct):
    """How many bytes a client had acknowledged when it last made progress, and when that was (monotonic seconds)."""

    bytes: int
    at: float


class Stalled:
    """Closes the connections of clients that take almost nothing of their answers.

    Args:
        port: the port of this server to which its clients are connected.
        seconds: the longest time without progress. While the server is crowded, it is a sixth of this.
    """

    def __init__(self, unsent: Unsent, port: int, seconds: float) -> None:
        self._unsent, self._port, self._seconds = unsent, port, seconds
        self._seen: dict[Address, _Progress] = {}

    async def watch(self) -> None:
        """Checks the connections periodically until it is cancelled."""
        while True:
            await asyncio.sleep(self._seconds / LOOKS)
            try:
                closed = self.look()
            except OSError as error:  # the process has no free file descriptor
                log.warning("cannot find the gRPC clients that do not read their answers: %s", error.strerror)
                continue
            if closed:
                log.info("closed %d gRPC connections whose clients did not read their answers", closed)

    def look(self) -> int:
        """Closes the connections without enough progress, and returns how many it closed."""
        clients = self._unsent.clients(self._seconds / LOOKS)
        self._seen = {address: seen for address, seen in self._seen.items() if address in clients}
        closed = 0
        for address, connection in sockets_of(clients, self._port) if clients else ():
            if self._is_stalled(address, clients[address], connection):
                with suppress(OSError):  # the client has closed it already
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                    connection.shutdown(socket.SHUT_RDWR)
                closed += 1
        return closed

    def _is_stalled(self, address: Address, since: float, connection: socket.socket) -> bool:
        now, taken = monotonic(), _bytes_acknowledged(connection)
        if now - since > LONGEST * self._seconds:
            return True
        if taken is None:
            return False
        seen = self._seen.get(address)
        if seen is None or taken >= seen.bytes + LEAST_BYTES:
            self._seen[address] = _Progress(taken, now)
            return False
        return now - seen.at >= self._seconds / (LOOKS if self._unsent.crowded else 1)


def sockets_of(clients: Collection[Address], port: int) -> Iterator[tuple[Address, socket.socket]]:
    """Yields the sockets of this process that connect its `port` to `clients`. Each is closed before the next one.

    They are duplicates of the original descriptors. Calls on them, including a shutdown, affect the connection itself.
    If the original descriptor is closed and its number is used again, the duplicate still belongs to the old
    connection.
    """
    for file in Path("/dev/fd").iterdir():
        with suppress(OSError):  # it has been closed in the meantime
            descriptor = int(file.name)
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with closing(socket.socket(fileno=os.dup(descriptor))) as connection:
                if connection.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                host, its_port = connection.getpeername()[:2]
                address = (_plain(host), its_port)
                if address in clients and connection.getsockname()[1] == port:
                    yield address, connection


def _bytes_acknowledged(connection: socket.socket) -> int | None:
    """How many bytes the client has acknowledged so far; None if the operating system does not report it."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED.size)
    return int(BYTES_ACKED.unpack(info)[0]) if len(info) == BYTES_ACKED.size else None


def _address(peer: str) -> Address | None:
    """The host and port in gRPC's name of a client, such as ``ipv4:127.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000``; None
    for other kinds of names."""
    kind, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    return (_plain(host.strip("[]")), int(port)) if kind in ("ipv4", "ipv6") and port.isdigit() else None


def _plain(host: str) -> str:
    return host.removeprefix("::ffff:").partition("%")[0]
