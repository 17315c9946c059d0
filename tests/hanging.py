"""A server that accepts connections and never answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["hanging"]


@contextmanager
def hanging() -> Iterator[int]:
    """Its port. The system accepts on its behalf, as it does for a process that is stopped."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]
