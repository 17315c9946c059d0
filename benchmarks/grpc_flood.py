"""Sends one flood of HTTP/2 frames to a port of this machine.

`python -m benchmarks.grpc_flood NAME PORT SECONDS CONNECTIONS MESSAGE`: each connection starts with a valid HTTP/2
preface if the flood needs one, sends the frames of `FLOODS[NAME]`, and is opened again when the server closes it. The
duration and the number of connections of a flood are bounded. The last line of the output is a Tally.
"""

from __future__ import annotations

import select
import socket
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, sleep

import msgspec
from msgspec import Struct

from benchmarks.grpc_flood_frames import FLOODS, Flood
from benchmarks.http2 import ACK, GOAWAY, PING, SETTINGS, frame, greeting, split

__all__ = ["Tally", "flood_for"]

MOST_CONNECTIONS = 2000  # that one flood opens, however often it is closed


class Tally(Struct):
    """What was sent, and how the connections ended."""

    frames: int = 0
    sent: int = 0
    opened: int = 0
    ends: dict[str, int] = {}


class _Client:
    """One connection at a time, until the time is over."""

    def __init__(self, flood: Flood, port: int, message: bytes, until: float) -> None:
        self._flood, self._port, self._message, self._until = flood, port, message, until
        self.tally, self.ends = Tally(), Counter[str]()

    def run(self, most: int) -> None:
        while perf_counter() < self._until and self.tally.opened < most:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                    self.tally.opened += 1
                    reason = self._flooded(connection)
            except OSError as error:
                reason = error.strerror or "timed out"
            self.ends[reason] += 1
            sleep(0.01)

    def _flooded(self, connection: socket.socket) -> str:
        """Sends until the time is over or the server ends it; how it ended."""
        connection.setblocking(False)
        self._came = bytearray()
        if self._flood.greets:
            goodbye = self._send(connection, greeting(self._flood.window))
            if goodbye:
                return goodbye
        for burst, frames in self._flood.bursts(f"127.0.0.1:{self._port}", self._message):
            goodbye = self._send(connection, burst)
            self.tally.frames += frames
            self.tally.sent += len(burst)
            if goodbye or perf_counter() > self._until:
                return goodbye or "open to the end"
        while perf_counter() < self._until:
            goodbye = self._read(connection, 1.0)
            if goodbye:
                return goodbye
        return "open to the end"

    def _send(self, connection: socket.socket, data: bytes) -> str:
        view = memoryview(data)
        while view and perf_counter() < self._until:
            goodbye = self._read(connection, 0)
            if goodbye:
                return goodbye
            if _ready(connection, select.POLLOUT, 0.05):
                view = view[connection.send(view) :]
        return ""

    def _read(self, connection: socket.socket, seconds: float) -> str:
        """Takes what has come, if this client reads; what the server says as it goes."""
        if not self._flood.reads:
            sleep(seconds)
            return ""
        if not _ready(connection, select.POLLIN, seconds):
            return ""
        data = connection.recv(1 << 18)
        if not data:
            return "closed"
        self._came += data
        for kind, flags, _, payload in split(self._came):
            if kind == GOAWAY:
                return f"GOAWAY {int.from_bytes(payload[4:8], 'big')} {payload[8:68].decode(errors='replace')}".strip()
            if kind == PING and not flags:
                connection.send(frame(PING, ACK, 0, payload))
            elif kind == SETTINGS and not flags and self._flood.greets:
                connection.send(frame(SETTINGS, ACK, 0))
        return ""


def _ready(connection: socket.socket, event: int, seconds: float) -> bool:
    poll = select.poll()  # `select` takes no file descriptor above 1023
    poll.register(connection, event)
    return bool(poll.poll(1000 * seconds))


def flood_for(flood: Flood, port: int, seconds: float, connections: int, message: bytes) -> Tally:
    """Runs one flood over so many connections at once."""
    count = flood.connections or connections
    clients = [_Client(flood, port, message, perf_counter() + seconds) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda client: client.run(max(1, MOST_CONNECTIONS // count)), clients))
    ends = sum((client.ends for client in clients), Counter[str]())
    return Tally(
        sum(client.tally.frames for client in clients), sum(client.tally.sent for client in clients),
        sum(client.tally.opened for client in clients), dict(ends.most_common(4)),
    )  # fmt: skip


if __name__ == "__main__":
    name, port, seconds, connections, file = sys.argv[1:]
    found = flood_for(FLOODS[name], int(port), float(seconds), int(connections), Path(file).read_bytes())
    print(msgspec.json.encode(found).decode())
