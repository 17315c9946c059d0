"""Several serving processes behind one socket, and one more that runs the programs of what they serve: started,
watched, started anew, and stopped together.

The supervisor listens, its workers accept. A worker that dies is replaced; one that cannot even start ends all,
since the next would fail the same way. The process of the programs never ends the serving.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path

from mlpatterns.errors import UserError
from mlpatterns.launch.listening import Ports
from mlpatterns.launch.peers import Peers
from mlpatterns.launch.started import NOT_STARTED, READY, WITH_PROGRAMS, Worker, end
from mlpatterns.launch.target import SEVERAL
from mlpatterns.launch.watched import Watched
from mlpatterns.server.logs import configure_logs
from mlpatterns.settings import Settings, sqlite_url

__all__ = ["supervise"]

log = logging.getLogger("mlpatterns")

RESTART_PAUSE = 1.0  # seconds between the deaths of workers and their replacement, so that a crash loop stays calm
PROGRAMS_PAUSE = 10.0  # seconds until a program process that could not start is tried again
START_PATIENCE = 120.0  # seconds until the successor of a worker must be ready


def supervise(target: str, settings: Settings, *, title: str, reload: bool = False) -> None:
    """Serves `target` with `settings.workers` processes until SIGTERM or SIGINT; SIGHUP replaces them one
    by one, each when its successor is ready.

    Args:
        target: what each worker loads; see launch/target.py.
        reload: replace the workers when a file changes that the target is made of; see launch/watched.py.

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
    apart = settings.programs == "apart" or (settings.programs is None and settings.workers > 1)
    if apart:
        environment.pop("MLPATTERNS_PROGRAMS_FILE", None)
        environment["MLPATTERNS_PROGRAMS"] = "off"
    if (settings.workers > 1 or apart) and settings.control_url.startswith("memory:"):
        environment.pop("MLPATTERNS_CONTROL_FILE", None)  # it said memory:// too, and would count for more
        environment["MLPATTERNS_CONTROL"] = sqlite_url(shared / "control.db")  # or each would have its own
    if ports.grpc is not None:
        environment["MLPATTERNS_GRPC_PORT"] = str(ports.grpc)
    try:
        log.info("%s is on %s, with %d worker%s", title, ports, settings.workers, "s"[: settings.workers > 1])
        watched = Watched(target.split(SEVERAL)) if reload else None
        Supervisor(environment, ports.http.fileno(), settings.workers, watched, Peers(ready), apart=apart).run()
    finally:
        ports.close()
        shutil.rmtree(shared, ignore_errors=True)


class Supervisor:
    """The loop: reacts to signals, to deaths and, with reload, to changed files.

    Args:
        apart: the programs run in a process of their own, if a worker says that there are any.
    """

    def __init__(
        self,
        environment: dict[str, str],
        socket: int,
        count: int,
        watched: Watched | None,
        peers: Peers,
        *,
        apart: bool,
    ) -> None:
        self._environment, self._socket, self._count = environment, socket, count
        self._watched, self._peers = watched, peers
        self._workers: list[Worker] = []
        self._given_up: list[Worker] = []
        self._apart, self._programs_at = apart, 0.0  # when the next program process may start
        self._programs: Worker | None = None
        self._leaving: list[Worker] = []  # program processes that finish what they do
        self._signals: list[int] = []

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
            end([*self._workers, *self._leaving, *([self._programs] if self._programs else [])])
            signal.set_wakeup_fd(-1)
            os.close(wake_reader)
            os.close(wake_writer)

    def _stopping(self) -> bool:
        return signal.SIGTERM in self._signals or signal.SIGINT in self._signals

    def _look(self) -> None:
        if self._stopping():
            return
        self._mend()
        if signal.SIGHUP in self._signals or (self._watched is not None and self._watched.changed()):
            self._replace_all()
        if self._apart:
            self._keep_programs()
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

    def _keep_programs(self) -> None:
        for left in [worker for worker in self._leaving if worker.ended]:
            left.bury()
            self._leaving.remove(left)
        if self._programs is not None and self._programs.ended:
            process, why = self._programs.process, _because(self._programs)
            log.warning("the program process %d ended with status %s%s; another takes its place", process.pid,
                        process.returncode, why)  # fmt: skip
            pause = PROGRAMS_PAUSE if process.returncode == NOT_STARTED else RESTART_PAUSE
            self._programs_at = time.monotonic() + pause
            self._programs.bury()
            self._programs = None
        wanted = any(worker.said() == WITH_PROGRAMS for worker in self._workers)
        if wanted and self._programs is None and time.monotonic() >= self._programs_at:
            self._programs = Worker({**self._environment, "MLPATTERNS_WORKER_PROGRAMS": "1"}, self._socket, self._peers)

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
                end([successor])
                return
            self._workers[index] = successor
            end([worker])
        if self._programs is not None:  # it may take long to finish what it does, and another does not wait for that
            self._programs.terminate()
            self._leaving.append(self._programs)
            self._programs, self._programs_at = None, 0.0

    def _becomes_ready(self, worker: Worker) -> bool:
        until = time.monotonic() + START_PATIENCE
        while not self._stopping() and time.monotonic() < until:
            said = worker.said(0.5)
            if said is not None:
                return said in {READY, WITH_PROGRAMS}
        return False


def _because(worker: Worker) -> str:
    why = worker.why()
    return f": {why}" if why else ""
