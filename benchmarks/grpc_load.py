"""Generates load over gRPC: `python -m benchmarks.grpc_load PORT METHOD FILE SECONDS` calls the method with the file's
bytes.

It is a closed loop like wrk: 4 connections with 4 calls in flight on each. It writes the HTTP/2 frames itself: the
Python client of gRPC needs more time per call than a server, so that the client would be measured. The last line of the
output is a Shot.
"""

from __future__ import annotations

import selectors
import sys
from pathlib import Path
from time import perf_counter

import msgspec

from benchmarks.grpc_connection import PATIENCE, Connection
from benchmarks.wrk import Shot

__all__ = ["CONNECTIONS", "STREAMS", "shoot_for"]

CONNECTIONS, STREAMS = 4, 4


def shoot_for(seconds: float, port: int, method: str, message: bytes) -> Shot:
    """Calls for `seconds`; the calls in flight at the end are waited for, and counted."""
    connections = [Connection(port, method, message) for _ in range(CONNECTIONS)]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        began = perf_counter()
        for connection in connections:
            for _ in range(STREAMS):
                connection.call()
        while not all(connection.idle for connection in connections):
            events = selector.select(PATIENCE)
            if not events:
                raise TimeoutError(f"no answer for {PATIENCE} s")
            for key, _ in events:
                ended = key.data.read()
                if perf_counter() - began < seconds:
                    for _ in range(ended):
                        key.data.call()
        took = perf_counter() - began
    return _shot(connections, took)


def _shot(connections: list[Connection], took: float) -> Shot:
    latencies = sorted(latency * 1e6 for connection in connections for latency in connection.latencies)
    for connection in connections:
        connection.socket.close()
    return Shot(
        len(latencies), took, latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100],
        sum(c.refused for c in connections), sum(c.broken for c in connections),
    )  # fmt: skip


if __name__ == "__main__":
    port, method, file, seconds = sys.argv[1:]
    print(msgspec.json.encode(shoot_for(float(seconds), int(port), method, Path(file).read_bytes())).decode())
