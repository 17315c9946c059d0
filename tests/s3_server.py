"""An S3 server for tests: moto's server in a separate process, with a bucket for each test."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from mlpatterns.testing import free_port

__all__ = ["S3Server", "s3_server"]

PATIENCE = 30.0  # seconds until it must listen; only a broken server takes that long
COMMAND = Path(sys.executable).with_name("moto_server")
SECRET = "not-to-be-shown"


class S3Server:
    """A running server. `environ` contains the environment variables for its clients."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def bucket(self) -> str:
        """Creates a bucket and returns its name."""
        name = f"mlpatterns-{uuid4().hex[:12]}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=PATIENCE).close()
        return name

    def start(self) -> None:
        """Starts an empty server."""
        self._process = subprocess.Popen(
            [COMMAND, "-H", "127.0.0.1", "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("moto's server does not listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server that is stopped at the end of the block."""
    server = S3Server()
    try:
        yield server
    finally:
        server.stop()
