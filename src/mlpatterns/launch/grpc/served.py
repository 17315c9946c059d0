"""What the connections of one gRPC server share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from mlpatterns.server.exchange import Buffers
from mlpatterns.server.grpc_call import Answering

__all__ = ["Client", "Served"]


class Client(Protocol):
    """A connection, as the server that drains sees it."""

    def drain(self) -> None: ...
    def abort(self) -> None: ...


class Served(Struct):
    """What the connections of one server share.

    Attributes:
        find: from a path to what answers there, if anything does.
        patience: seconds that a client may take to read an answer.
        most_connections: one more is closed at once.
    """

    find: Callable[[str], Answering | None]
    buffers: Buffers
    offload: Callable[..., Awaitable[bytes]]
    max_header_bytes: int
    patience: float
    connections: set[Client]
    most_connections: int = 10_000
