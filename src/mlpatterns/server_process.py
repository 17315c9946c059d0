"""The server process of `mlpatterns.testing`: a real `mlpatterns run` for the body of an `async with`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlpatterns.context import NOTHING
from mlpatterns.user_errors import MissingExtra, UserError

if TYPE_CHECKING:
    import httpx

__all__ = ["ServerProcess", "free_port", "process"]

HOST = "127.0.0.1"
LOOK_EVERY = 0.05  # seconds between checks of a server that starts
STOP_PATIENCE = 30.0  # seconds from the signal to the kill, in which the server answers open requests
LAST_WORDS = 20  # lines of output that an error quotes


@asynccontextmanager
async def process(
    target: str | Path,
    *flags: str,
    service: str | None = None,
    environ: Mapping[str, str] = NOTHING,
    cwd: Path | None = None,
    port: int | None = None,
    grpc: bool = False,
    ready: str = "/health/ready",
    patience: float = 60.0,
) -> AsyncIterator[ServerProcess]:
    """Runs `mlpatterns run TARGET` as a process. The body starts when it is ready; after the body it is stopped.

    Args:
        target: a pattern's name, a Python file or an ONNX file.
        flags: more flags for `run`.
        service: serve only this Service of the target.
        environ: environment variables in addition to those of this process.
        cwd: its working directory.
        port: its HTTP port. (default: a free port)
        grpc: whether it serves gRPC too, on a free port.
        ready: the path that answers 200 when the server is ready.
        patience: the most seconds to wait until it is ready.

    Raises:
        UserError: it ended, or was not ready in time. The text has the last lines of its output.
        MissingExtra: httpx is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("a server process", "test") from error
    port, grpc_port = port or free_port(), free_port() if grpc else None
    command = [str(target), *flags, "--host", HOST, "--port", str(port)]
    command += ["--service", service] if service else []
    command += ["--grpc-port", str(grpc_port)] if grpc_port else []
    # Ignores the proxies of the environment, which may not reach this host.
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as http:
        server = ServerProcess(port, grpc_port, http)
        try:
            await server.start(command, {**os.environ, **environ}, cwd)
            await server.wait_until_ready(ready, patience)
            yield server
        finally:
            await server.close()


def free_port() -> int:
    """A port of this host that no process listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """A running `mlpatterns run`.

    Args:
        port: its HTTP port.
        grpc_port: its gRPC port, or None.
        http: a client for it.

    Attributes:
        port: its HTTP port.
        url: its URL, e.g. ``http://127.0.0.1:40123``.
        grpc: ``127.0.0.1:PORT`` of its gRPC port, or None.
        http: a client for `url`. It is open until the process has ended.
    """

    def __init__(self, port: int, grpc_port: int | None, http: httpx.AsyncClient) -> None:
        self.port, self.url, self.http = port, f"http://{HOST}:{port}", http
        self.grpc = f"{HOST}:{grpc_port}" if grpc_port else None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it; a pipe would fill up and block the server
        self._kept: str | None = None
        self._child: asyncio.subprocess.Process | None = None

    async def start(self, command: Sequence[str], environ: Mapping[str, str], cwd: Path | None) -> None:
        """Starts `mlpatterns run` with these arguments."""
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mlpatterns", "run", *command,
            cwd=cwd, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._running.returncode

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of all its threads, in seconds: the cost of its work, independent of the load of the machine."""
        stat = Path(f"/proc/{self.pid}/stat")
        if stat.exists():
            user, system = stat.read_text().rpartition(")")[2].split()[11:13]  # proc(5): utime and stime, in ticks
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        told = subprocess.run(["ps", "-o", "time=", "-p", str(self.pid)], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return _ps_seconds(told.stdout)

    @property
    def output(self) -> str:
        """All its output so far, from standard output and standard error. It is available after the end too."""
        if self._kept is not None:
            return self._kept
        file = self._log.fileno()
        # Not with seek and read, because the writing process shares the file position.
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    async def wait_until_ready(self, path: str = "/health/ready", patience: float = 60.0) -> None:
        """Waits until `path` answers 200.

        Raises:
            UserError: the process ended, or `patience` seconds passed. The text has the last lines of its output.
        """
        import httpx

        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self.status is None:
                    with suppress(httpx.TransportError):  # it does not listen yet
                        if (await self.http.get(path)).status_code == 200:
                            return
                    await asyncio.sleep(LOOK_EVERY)
        how = f"was not ready within {patience:g} s" if self.status is None else f"ended with status {self.status}"
        words = "\n".join(self.output.strip().splitlines()[-LAST_WORDS:])
        raise UserError(f"the server process {how}; its last output: {words or 'nothing'}")

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, waits for the end of the process and returns its exit status; after 30 s it sends SIGKILL."""
        child = self._running
        try:
            _send(child, number)
            with suppress(TimeoutError):
                return await asyncio.wait_for(child.wait(), STOP_PATIENCE)
        finally:
            _send(child, signal.SIGKILL)  # it did not end in time, or this task was cancelled
        return await child.wait()

    async def close(self) -> None:
        """Stops the process if it runs, and keeps its output."""
        try:
            if self._child is not None:
                await self.stop()
        finally:
            self._kept = self.output
            self._log.close()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._child is None:
            raise UserError("this server process was not started; use it as `async with process(…)`")
        return self._child


def _send(child: asyncio.subprocess.Process, number: int) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError):  # it has just ended
            child.send_signal(number)


def _ps_seconds(text: str) -> float:
    """The seconds of a time as ps(1) prints it: ``[DD-]HH:MM:SS``."""
    days, _, clock = text.rpartition("-")
    seconds = sum(float(part) * float(60**place) for place, part in enumerate(reversed(clock.split(":"))))
    return float(days or 0) * 86_400 + seconds
