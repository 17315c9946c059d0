"""A Redis of a test's own, to be stopped, killed and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlpatterns.testing import free_port
from services import unreachable

__all__ = ["RedisServer", "redis_server"]

PATIENCE = 10.0  # seconds for it to listen, or to end


class RedisServer:
    """`redis-server` on a free port of loopback, which saves nothing."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder, self.port = binary, folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it listens."""
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._binary, *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("redis-server did not listen in time")

    def freeze(self) -> None:
        """It accepts connections, and answers nobody."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(PATIENCE)
        self._process = None

    def _send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A server that runs; it is gone afterwards, in whatever state the test left it."""
    binary = shutil.which("redis-server")
    if binary is None:
        unreachable("redis-server", "it is not installed")
        raise AssertionError
    server = RedisServer(binary, folder)
    try:
        server.start()
        yield server
    finally:
        if server._process is not None:
            server.kill()
