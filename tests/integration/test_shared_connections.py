"""How several workers share the connections that come at once."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from integration.processes import serving
from integration.test_supervisor import started

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # each starts a supervisor with two workers
HERE = Path(__file__).parent
CONNECTIONS, MOST = 16, 14
BODY = b'{"data": [[1, 2]]}'
REQUEST = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY), BODY
)  # fmt: skip


def held(worker: int, port: int) -> int:
    """How many connections to `port` the worker holds."""
    connections = psutil.Process(worker).net_connections("tcp")
    return sum(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in connections)


def test_the_first_worker_to_wake_does_not_take_all_connections(tmp_path: Path) -> None:
    """All are there before any worker wakes, so that a worker could take all of them in one turn of its event loop.
    Each request holds the loop that reads it for longer than the other worker needs to wake."""
    app = HERE / "app_that_holds_its_loop.py"
    with serving(app, "--workers", "2", cwd=tmp_path) as server, ExitStack() as stack:
        both = started(server)
        for worker in both:
            os.kill(worker, signal.SIGSTOP)
            stack.callback(os.kill, worker, signal.SIGCONT)
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            for _ in range(CONNECTIONS)
        ]
        for client in clients:
            client.sendall(REQUEST)
        for worker in both:
            os.kill(worker, signal.SIGCONT)
        assert all(client.recv(4096).startswith(b"HTTP/1.1 200") for client in clients)
        shares = sorted(held(worker, server.port) for worker in both)
        assert sum(shares) == CONNECTIONS
        assert shares[1] <= MOST, shares
