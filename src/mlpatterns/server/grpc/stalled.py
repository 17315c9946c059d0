"""Clients that do not take their answers: how they are found, and how their connections end.

grpc.aio keeps an answer until HTTP/2's flow control lets it go, and offers no way to give up a call whose status is on
its way. The connection can be closed from outside, though: the operating system tells which socket belongs to a client,
and how many bytes that client has acknowledged. gRPC then ends all calls of the connection, and frees what they hold.
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

LEAST_BYTES = 16 * 1024  # that a client must take within the time: answers to its pings are no progress
LOOKS = 6  # within that time
PROMPT = 1.0  # seconds within which a client takes one of its answers, if it takes them
LONGEST = 20  # times that time, after which an answer has been on its way for too long, however steadily it is taken
BYTES_ACKED = struct.Struct("=120xQ")  # tcpi_bytes_acked of Linux's struct tcp_info, since version 4.1
NO_LINGER = struct.pack("ii", 1, 0)  # what is not sent yet is thrown away

Address = tuple[str, int]


class Unsent:
    """The calls whose answers are on their way, the oldest first.

    Args:
        most: bytes of large answers that one connection may keep waiting.
        buffers: count the bytes of all.
    """

    def __init__(self, most: int, buffers: Buffers) -> None:
        self._most, self._buffers = most, buffers
        self._answers: dict[asyncio.Task[Any], tuple[Any, float]] = {}
        self._connections: dict[str, _Waiting] = {}

    def check(self, rpc: Any, size: int) -> None:
        """Refuses a large answer to a client that leaves others where they are.

        Raises:
            Overloaded: its connection keeps too many bytes waiting, and has taken no answer for a second; or the server
                is so full that it gives nobody a second.
        """
        waiting = self._connections.get(rpc.peer()) if size > SMALL_ANSWER else None
        if waiting is None or waiting.bytes + size <= self._most:
            return
        if self.crowded or monotonic() - waiting.since > PROMPT:
            raise Overloaded("this connection does not take its answers; take them, and try again", retry_after=1)

    @property
    def crowded(self) -> bool:
        """Whether the server holds more than half of the bytes that it may hold."""
        return self._buffers.held > self._buffers.most_together / 2

    def add(self, rpc: Any, size: int) -> None:
        """An answer of `size` bytes goes to grpc.aio next, which ends this task when it is sent, or the client gone."""
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
        """The clients that have not taken an answer for `seconds`, and since when their oldest waits."""
        before, found = monotonic() - seconds, dict[Address, float]()
        for rpc, since in self._answers.values():
            if since > before:
                break
            address = _address(rpc.peer())
            if address is not None:
                found.setdefault(address, since)
        return found


class _Waiting(Struct):
    """The large answers that one connection has not taken: their bytes, and since when it has taken none."""

    since: float
    bytes: int = 0


class _Progress(Struct):
    """Bytes that a client had acknowledged when it was last seen to take some."""

    bytes: int
    at: float


class Stalled:
    """Closes the connections of clients that take next to nothing of their answers.

    Args:
        port: of this server, on which its clients are connected.
        seconds: without progress; a sixth of them while the server is crowded.
    """

    def __init__(self, unsent: Unsent, port: int, seconds: float) -> None:
        self._unsent, self._port, self._seconds = unsent, port, seconds
        self._seen: dict[Address, _Progress] = {}

    async def watch(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(self._seconds / LOOKS)
            try:
                closed = self.look()
            except OSError as error:  # the process has no file descriptor left to look with
                log.warning("gRPC clients that do not read cannot be found: %s", error.strerror)
                continue
            if closed:
                log.info("closed %d gRPC connections whose clients took nothing of their answers", closed)

    def look(self) -> int:
        """Closes what has not moved since long enough; how many connections that were."""
        clients = self._unsent.clients(self._seconds / LOOKS)
        self._seen = {address: seen for address, seen in self._seen.items() if address in clients}
        closed = 0
        for address, connection in sockets_of(clients, self._port) if clients else ():
            if self._is_stalled(address, clients[address], connection):
                with suppress(OSError):  # the client was faster
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
    """The sockets of this process that are connected to `clients` from its `port`, each closed after its turn.

    They are duplicates: what is asked of them, a shutdown too, is asked of the connection itself, and a descriptor that
    is closed meanwhile and used anew is never taken for it.
    """
    for file in Path("/dev/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
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
    """How many bytes the client has taken so far; None where the system does not tell."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED.size)
    return int(BYTES_ACKED.unpack(info)[0]) if len(info) == BYTES_ACKED.size else None


def _address(peer: str) -> Address | None:
    """Host and port of what gRPC calls a client, as ``ipv4:127.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000``."""
    kind, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    return (_plain(host.strip("[]")), int(port)) if kind in ("ipv4", "ipv6") and port.isdigit() else None


def _plain(host: str) -> str:
    return host.removeprefix("::ffff:").partition("%")[0]
