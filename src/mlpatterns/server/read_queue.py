"""Schedules the reading of packets from all connections. One turn of the event loop reads a bounded number of packets,
and the first packet of a new connection is read before further packets of other connections.

Without this queue, the event loop delivers all packets that have arrived in one turn. Each packet may begin a request,
and the loop accepts no new connection before all these requests have run a step. With hundreds of busy connections such
a turn is long, and a new connection needs three turns: to be accepted, read and answered. Short turns bound its wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol
from weakref import WeakKeyDictionary

__all__ = ["PACKETS_A_TURN", "ReadQueue", "Reader", "read_queue"]

PACKETS_A_TURN = 32


class Reader(Protocol):
    """A connection whose packets may wait.

    Attributes:
        waiting: the number of its packets that are in the queue.
    """

    waiting: int

    @property
    def is_new(self) -> bool:
        """Whether the connection has not begun a request yet."""
        ...

    def read(self, packet: bytes) -> None:
        """Reads the next packet of the connection, or drops it if the connection is closed."""
        ...

    def hold_back(self, held: bool) -> None:
        """Pauses reading from the transport if `held`, else resumes it."""
        ...


class ReadQueue:
    """The packets of all connections of one event loop. The packets of one connection stay in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._packets: deque[tuple[Reader, bytes]] = deque()
        self._left = 0  # packets that may still be read in this turn
        self._turn_is_due = False

    def take(self, reader: Reader, packet: bytes) -> None:
        """Reads a packet that has arrived now, or puts it into the queue for a later turn."""
        if not self._turn_is_due:
            self._left, self._turn_is_due = PACKETS_A_TURN, True
            self._loop.call_soon(self._turn)
        if not reader.waiting and (self._left > 0 or reader.is_new):
            self._left -= 1
            reader.read(packet)
            return
        self._packets.append((reader, packet))
        reader.waiting += 1
        if reader.waiting == 2:  # the client sends a large body, or many requests without waiting for answers
            reader.hold_back(True)

    def _turn(self) -> None:
        packets, self._left = self._packets, PACKETS_A_TURN
        try:
            while packets and self._left > 0:
                self._left -= 1
                reader, packet = packets.popleft()
                reader.waiting -= 1
                if reader.waiting == 1:
                    reader.hold_back(False)
                reader.read(packet)
        finally:  # an error of one packet must not stop the others
            self._turn_is_due = bool(packets)
            if packets:
                self._loop.call_soon(self._turn)


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, ReadQueue] = WeakKeyDictionary()


def read_queue(loop: asyncio.AbstractEventLoop) -> ReadQueue:
    """The queue of all connections on `loop`."""
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = ReadQueue(loop)
    return queue
