"""Several serving processes behind one socket: started, watched, started anew, and stopped together.

The supervisor listens, its workers accept. A worker that dies is replaced; one that cannot even start ends all,
since the next would fail the same way.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlpatterns.errors import UserError
from mlpatterns.launch.listening import Ports
from mlpatterns.launch.starting import Peers
from mlpatterns.server.logs import configure_logs
from mlpatterns.settings import Settings

__all__ = ["FAILED", "NOT_STARTED", "READY", "supervise"]

log = logging.getLogger("mlpatterns")

NOT_STARTED = 3  # a worker's exit status when it could not start and has said why
READY, FAILED = b".", b"!"  # a worker's first byte to its supervisor; after the latter comes why
RESTART_PAUSE = 1.0  # seconds between the deaths of workers and their replacement, so that a crash loop stays calm
START_PATIENCE = 120.0  # seconds until the successor of a worker must be ready
RELOAD_SUFFIXES = {".py", ".onnx", ".toml"}


def supervise(target: str, settings: Settings, *, title: str, reload: bool = False) -> None:
    """Serves `target` with `settings.workers` processes until SIGTERM or SIGINT; SIGHUP replaces them one
    by one, each when its successor is ready.

    Args:
        target: what each worker loads; see launch/target.py.
        reload: replace the workers when a source file below the target's folder changes.

    Raises:
        UserError: a worker could not start, or the port is taken; its text says why.
    """
    configure_logs(settings)
    ports = Ports(settings)
    shared = Path(tempfile.mkdtemp(prefix="mlpatterns-"))
    ready = shared / "ready"
    ready.mkdir()
    environment = {
        **os.environ,
        "MLPATTERNS_WORKER_TARGET": target,
        "MLPATTERNS_WORKER_TITLE": title,
        "MLPATTERNS_WORKER_SOCKET": str(ports.http.fileno()),
        "MLPATTERNS_WORKER_METRICS": str(shared),
        "MLPATTERNS_WORKER_PEERS": str(ready),
        "MLPATTERNS_WORKER_SUPERVISOR": str(os.getpid()),
        "MLPATTERNS_WORKERS": str(settings.workers),
    }
    if settings.workers > 1 and settings.control_url.startswith("memory:"):
        environment.pop("MLPATTERNS_CONTROL_FILE", None)  # it said memory:// too, and would count for more
        environment["MLPATTERNS_CONTROL"] = f"sqlite:///{shared / 'control.db'}"  # or each would have its own
    if ports.grpc is not None:
        environment["MLPATTERNS_GRPC_PORT"] = str(ports.grpc)
    try:
        log.info(
            "%s is on %s, with %d worker%s",
            title,
            ports,
            settings.workers,
            "s"[: settings.workers > 1],
        )
        watched = Path(target.rpartition(":")[0] or target).parent if reload else None
        Supervisor(environment, ports.http.fileno(), settings.workers, watched, Peers(ready)).run()
    finally:
        ports.close()
        shutil.rmtree(shared, ignore_errors=True)


class Worker:
    """One serving process; it closes its end of a pipe when it is ready, or has said why it cannot be, or has ended."""

    def __init__(self, environment: Mapping[str, str], socket: int, peers: Peers) -> None:
        self._peers = peers
        self._ready, ready = os.pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlpatterns.launch.worker_main"],
                env={**environment, "MLPATTERNS_WORKER_READY": str(ready)},
                pass_fds=[socket, ready],
                # A session of its own: Ctrl-C on the terminal reaches the supervisor alone, which stops them in order.
                start_new_session=True,
            )
        finally:
            os.close(ready)

    def wait(self, seconds: float) -> bool | None:
        """Whether it became ready; None if that cannot be said after `seconds`. Ask until it is known, then no more."""
        if not select.select([self._ready], [], [], seconds)[0]:
            return None
        return os.read(self._ready, 1) == READY

    def why(self) -> str:
        """Why it could not start, if it has said so."""
        said = b""
        while select.select([self._ready], [], [], 0)[0] and (more := os.read(self._ready, 4096)):
            said += more
        return said.lstrip(READY + FAILED).decode(errors="replace")

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def terminate(self) -> None:
        if not self.ended:
            self.process.terminate()

    def bury(self) -> None:
        """Waits for its end."""
        self.process.wait()
        os.close(self._ready)
        self._peers.remove(self.process.pid)


class Supervisor:
    """The loop: reacts to signals, to deaths and, with reload, to changed files."""

    def __init__(
        self, environment: dict[str, str], socket: int, count: int, watched: Path | None, peers: Peers
    ) -> None:
        self._environment, self._socket, self._count = environment, socket, count
        self._watched, self._peers = watched, peers
        self._workers: list[Worker] = []
        self._given_up: list[Worker] = []
        self._signals: list[int] = []
        self._files = dict(self._seen())

    def run(self) -> None:
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda received, _: self._signals.append(received))
        try:
            self._workers = [self._start() for _ in range(self._count)]
            while not self._stopping():
                if select.select([wake_reader], [], [], 0.5)[0]:
                    os.read(wake_reader, 4096)
                self._look()
        finally:
            _end(self._workers)
            signal.set_wakeup_fd(-1)
            os.close(wake_reader)
            os.close(wake_writer)

    def _stopping(self) -> bool:
        return signal.SIGTERM in self._signals or signal.SIGINT in self._signals

    def _look(self) -> None:
        if self._stopping():
            return
        self._mend()
        if signal.SIGHUP in self._signals or self._changed():
            self._replace_all()
        self._signals = [number for number in self._signals if number in {signal.SIGTERM, signal.SIGINT}]

    def _mend(self) -> None:
        """Replaces the dead. One that could not even start ends all; with reload it waits for the next change."""
        for index, worker in enumerate(self._workers):
            if not worker.ended or worker in self._given_up:
                continue
            status = worker.process.returncode
            if status != NOT_STARTED:
                log.warning("worker %d ended with status %s; another takes its place", worker.process.pid, status)
                time.sleep(RESTART_PAUSE)
                worker.bury()
                self._workers[index] = self._start()
            elif self._watched is None:
                raise UserError(worker.why() or "a worker could not go on; the line above says why")
            else:
                if not self._given_up:  # the others say the same
                    log.warning("%s; it starts anew when a file changes", worker.why())
                self._given_up.append(worker)

    def _start(self) -> Worker:
        return Worker(self._environment, self._socket, self._peers)

    def _replace_all(self) -> None:
        """One by one, each when its successor is ready; at one that does not start, the others stay as they are."""
        log.info("replacing the workers")
        self._given_up.clear()
        self._peers.join()  # for the workers that go: who asks meanwhile waits for a successor, and is not sent away
        for index, worker in enumerate(self._workers):
            successor = self._start()
            # Whoever edits a file wants to see that it is broken; whoever operates a server wants it to go on.
            if self._watched is None and not self._becomes_ready(successor):
                log.warning("the new worker is not ready; those there were go on%s", _because(successor))
                _end([successor])
                return
            self._workers[index] = successor
            _end([worker])

    def _becomes_ready(self, worker: Worker) -> bool:
        until = time.monotonic() + START_PATIENCE
        while not self._stopping() and time.monotonic() < until:
            ready = worker.wait(0.5)
            if ready is not None:
                return ready
        return False

    def _changed(self) -> bool:
        if self._watched is None:
            return False
        before, self._files = self._files, dict(self._seen())
        return before != self._files

    def _seen(self) -> Iterator[tuple[Path, float]]:
        if self._watched is None:
            return
        for path in sorted(self._watched.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(self._watched).parts)
            if path.suffix in RELOAD_SUFFIXES and not hidden and path.is_file():
                yield path, path.stat().st_mtime


def _because(worker: Worker) -> str:
    why = worker.why()
    return f": {why}" if why else ""


def _end(workers: Sequence[Worker]) -> None:
    """Stops all at once, and waits for all."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.bury()
