"""`mlpatterns.testing.process` for tests that are not asynchronous."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlpatterns.testing import free_port

__all__ = ["Server", "free_port", "serving", "until_counted"]

PATIENCE = 30.0  # seconds until a server must be ready; only a broken one takes that long


class Server:
    """A running `mlpatterns` process."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.output = ""

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """(status, JSON) of a GET, or a POST with a body."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, _json(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())

    def wait_until_ready(self, path: str = "/health/ready", patience: float = PATIENCE) -> None:
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.process.communicate()}")
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):  # it does not listen yet
                if self.ask(path)[0] == 200:
                    return
            time.sleep(0.02)
        raise AssertionError("the server did not become ready")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, waits, keeps the output, returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.output += self.process.communicate(timeout=PATIENCE)[0] or ""
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.output += self.process.communicate()[0] or ""
        return self.process.returncode


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def until_counted(server: Server, line: str) -> None:
    """Waits until `/metrics` has `line`."""
    until = time.monotonic() + PATIENCE
    while line not in (text := server.ask("/metrics")[1]):
        assert time.monotonic() < until, text
        time.sleep(0.05)


@contextmanager
def serving(
    *arguments: str | Path,
    cwd: Path,
    environ: dict[str, str] | None = None,
    port: int | None = None,
    ready: str | None = "/health/ready",
    command: str = "run",
) -> Iterator[Server]:
    """`mlpatterns run …` as a process, up when `ready` says 200, or at once; ended at the end whatever happened."""
    port = port or free_port()
    started = [sys.executable, "-m", "mlpatterns", command, *map(str, arguments), "--port", str(port)]
    process = subprocess.Popen(
        started, cwd=cwd, env={**os.environ, **(environ or {})}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    server = Server(process, port)
    try:
        if ready is not None:
            server.wait_until_ready(ready)
        yield server
    finally:
        server.stop()
