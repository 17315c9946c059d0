"""Starts servers as separate processes on free ports of this machine, and ends them by their process id."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from msgspec import Struct

from benchmarks.calls import Call, ask_call
from benchmarks.wrk import Load

__all__ = [
    "ROOT",
    "TREE",
    "Command",
    "Server",
    "ask",
    "clean_environment",
    "free_port",
    "ours",
    "peer",
    "serving",
    "settle",
]

ROOT = Path(__file__).resolve().parent.parent
TREE = os.pathsep.join((str(ROOT), str(ROOT / "src")))  # what is measured is what lies beside this file
PATIENCE = 60.0  # seconds for a server to start, and to stop

# What our own worker sets for uvicorn, spelt for its command line, so that no peer has a slower server around it.
UVICORN = (
    "--http", "httptools", "--loop", "uvloop", "--ws", "none", "--no-access-log", "--log-level", "warning",
    "--no-server-header", "--backlog", "2048", "--timeout-keep-alive", "75",
)  # fmt: skip


class Command(Struct, frozen=True):
    """How to start a server; its port is appended."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class Server(Struct, frozen=True):
    """A running one."""

    process: psutil.Process
    port: int
    began: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def family(self) -> list[psutil.Process]:
        """The process and those it started, workers and all."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """CPU time of the whole family so far, user and system."""
        total = 0.0
        for process in self.family():
            with suppress(psutil.NoSuchProcess):  # a helper that has just ended
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def megabytes(self) -> float:
        """Proportional set size of the whole family: pages that several processes share are divided among them."""
        return float(sum(process.memory_full_info().pss for process in self.family())) / 1e6


def ours(target: str, *flags: str, workers: int = 1, home: Path | None = None) -> Command:
    """`mlpatterns run TARGET` with every default, and `flags` if there are any."""
    arguments = (sys.executable, "-m", "mlpatterns", "run", target, *flags, "--workers", str(workers), "--port")
    return Command(arguments, {} if home is None else {"MLPATTERNS_HOME": str(home)})


def peer(app: str, *, model: Path | None = None, workers: int = 1) -> Command:
    """`uvicorn benchmarks.peers.APP`, with the settings that ours has."""
    arguments = (sys.executable, "-m", "uvicorn", f"benchmarks.peers.{app}", *UVICORN, "--workers", str(workers))
    return Command((*arguments, "--port"), {} if model is None else {"PEER_MODEL": str(model)})


@contextmanager
def serving(
    command: Command, ready: Load | Call | str, folder: Path, *, patience: float = PATIENCE
) -> Iterator[Server]:
    """Starts a server, waits until it answers `ready` (a request, a call, or a path to get), and ends it.

    Args:
        patience: seconds for it to start.

    Raises:
        RuntimeError: it ended or was not ready in time; its last words are in the text.
    """
    port = free_port()
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        started = subprocess.Popen(
            [*command.arguments, str(port)],
            env={**clean_environment(), "PYTHONPATH": TREE, **command.environment},
            cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    server = Server(psutil.Process(started.pid), port, began)
    try:
        _wait(server, started, ready, log, patience)
        yield server
    finally:
        _end(server, started)


def ask(server: Server, load: Load | Call | str) -> tuple[int, bytes]:
    """(status, body) of one request or call on a connection of its own.

    Raises:
        OSError: nobody listens, or the connection broke.
    """
    if isinstance(load, Call):
        return ask_call(load)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        if isinstance(load, str):
            connection.request("GET", load)
        else:
            connection.request("POST", load.path, load.body, dict(load.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """The environment without settings of whoever measures."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MLPATTERNS_")}


def settle(servers: Sequence[Server], *, step: float = 0.3, patience: float = PATIENCE) -> None:
    """Returns when all have stopped working: further workers come up after the first answers.

    Args:
        step: seconds from look to look; a tenth of them is what an idle server may spend.
        patience: seconds after which it returns all the same.
    """
    deadline = time.perf_counter() + patience
    before = sum(server.cpu_seconds() for server in servers)
    while time.perf_counter() < deadline:
        time.sleep(step)
        now = sum(server.cpu_seconds() for server in servers)
        if now - before <= step / 10:
            return
        before = now


def _wait(
    server: Server, started: subprocess.Popen[bytes], ready: Load | Call | str, log: Path, patience: float
) -> None:
    while time.perf_counter() - server.began < patience:
        if started.poll() is not None:
            break
        with suppress(OSError, http.client.HTTPException):  # not listening yet
            if ask(server, ready)[0] == 200:
                return
        time.sleep(0.005)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _end(server: Server, started: subprocess.Popen[bytes]) -> None:
    """SIGTERM first, which the workers' parent passes on; who has not ended by then is killed, by its own id."""
    family = server.family() if started.poll() is None else []
    started.terminate()
    try:
        started.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
    for process in psutil.wait_procs(family, timeout=1)[1]:
        process.kill()
