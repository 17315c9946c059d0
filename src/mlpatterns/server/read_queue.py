"""In which order the packets of all connections are read: a bounded number in one turn of the event loop, and the first
of a new connection before the next of those that are served already.

The event loop hands over all packets that have come, each begins a request, and the loop accepts no connection before
these have had their step. With hundreds of busy connections a turn would be long, and a new connection needs three: one
to be accepted, one to be read, and one to be answered. With short turns it need not wait behind all the others.
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
        waiting: how many of its packets wait.
    """

    waiting: int

    @property
    def is_new(self) -> bool:
        """Whether it has not begun a request yet."""
        ...

    def read(self, packet: bytes) -> None:
        """Takes its next packet, or drops it if the connection is closed."""
        ...

    def hold_back(self, held: bool) -> None:
        """Stops the transport from reading on, or lets it go on."""
        ...


class ReadQueue:
    """Packets of the connections of one event loop. Those of one connection stay in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._packets: deque[tuple[Reader, bytes]] = deque()
        self._left = 0  # packets that may still be read in this turn
        self._turn_is_due = False

    def take(self, reader: Reader, packet: bytes) -> None:
        """A packet has come: it is read at once, or in a later turn."""
        if not self._turn_is_due:
            self._left, self._turn_is_due = PACKETS_A_TURN, True
            self._loop.call_soon(self._turn)
        if not reader.waiting and (self._left > 0 or reader.is_new):
            self._left -= 1
            reader.read(packet)
            return
        self._packets.append((reader, packet))
        reader.waiting += 1
        if reader.waiting == 2:  # whoever sends without waiting for an answer: a large body, or many requests
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
        finally:  # whatever one packet does, the others have their turn
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
