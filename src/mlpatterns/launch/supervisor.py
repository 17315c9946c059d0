"""Supervises several worker processes behind one socket, and one more process that runs the programs of the target.

The supervisor listens, and its workers accept connections. A worker that ends for any reason is replaced. There is one
exception: if no worker has been ready yet and one reports why it cannot start, the supervisor ends with that reason,
because the next worker would fail in the same way.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

from mlpatterns.launch.file_watcher import FileWatcher
from mlpatterns.launch.launcher import Launcher
from mlpatterns.launch.listening import Ports
from mlpatterns.launch.replica import Replica
from mlpatterns.launch.rolling import RollingReplacement
from mlpatterns.launch.signals import Signals
from mlpatterns.launch.target import SEVERAL
from mlpatterns.launch.worker_process import WorkerArguments, WorkerProcess
from mlpatterns.server.logs import configure_logs
from mlpatterns.settings import Settings, sqlite_url
from mlpatterns.user_errors import UserError

__all__ = ["supervise"]

log = logging.getLogger("mlpatterns")

LOOK_EVERY = 0.5  # seconds between checks for changed files and for processes to start
MOST_LEAVING = 4  # processes that were told to stop and still run; at this number, replacements wait


def supervise(target: str, settings: Settings, *, title: str, reload: bool = False) -> None:
    """Serves `target` with `settings.workers` processes until SIGTERM or SIGINT. SIGHUP replaces the workers one by
    one, each when its successor is ready.

    Args:
        target: what each worker loads; see launch/target.py.
        title: what is served, for the log.
        reload: replace the workers when a file of the target changes; see launch/file_watcher.py.

    Raises:
        UserError: no worker could start, the port is taken, or a temporary folder is needed and cannot be made.
    """
    configure_logs(settings)
    with Signals() as signals:
        ports = Ports(settings)
        apart = settings.programs == "apart" or (settings.programs is None and settings.workers > 1)
        shares = (settings.workers > 1 or apart) and settings.control_url.startswith("memory:")
        folder = _control_folder() if shares else None
        try:
            log.info("%s is on %s, with %d worker%s", title, ports, settings.workers, "s"[: settings.workers > 1])
            arguments = WorkerArguments(
                target=target,
                title=title,
                programs=False,
                supervisor=os.getpid(),
                socket=ports.http.fileno(),
                number=0,
                # Besides the workers: a successor, the program process, and processes that stop. A replacement may
                # begin with MOST_LEAVING - 1 of these, and adds at most a failed successor and the program process.
                processes=settings.workers + 2 + MOST_LEAVING + 1,
                metrics=None,
                peers=None,
            )
            launcher = Launcher(arguments, _environment(settings, ports, folder, apart=apart))
            watched = FileWatcher(target.split(SEVERAL)) if reload else None
            Supervisor(launcher, signals, settings.workers, watched, apart=apart).run()
        finally:
            ports.close()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def _environment(settings: Settings, ports: Ports, folder: Path | None, *, apart: bool) -> dict[str, str]:
    """The environment of the workers: that of this process, with a few changes."""
    environment = {**os.environ, "MLPATTERNS_WORKERS": str(settings.workers)}
    if apart:
        environment.pop("MLPATTERNS_PROGRAMS_FILE", None)
        environment["MLPATTERNS_PROGRAMS"] = "off"
    if folder is not None:
        environment.pop("MLPATTERNS_CONTROL_FILE", None)  # the file would override the next line
        environment["MLPATTERNS_CONTROL"] = sqlite_url(folder / "control.db")  # otherwise each would have its own
    if ports.grpc is not None:
        environment["MLPATTERNS_GRPC_PORT"] = str(ports.grpc)
    return environment


def _control_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="mlpatterns-"))
    except OSError as error:
        raise UserError(
            f"the workers share the contents of memory:// in a file, which cannot be made: {error.strerror or error}; "
            "set TMPDIR to a folder with room, or `control` to a database"
        ) from error


class Supervisor:
    """The loop that reacts to signals, to processes that end or become ready and, with reload, to changed files.

    Args:
        apart: whether programs run in a separate process, which is started if a worker reports that there are any.
    """

    def __init__(
        self, launcher: Launcher, signals: Signals, count: int, watched: FileWatcher | None, *, apart: bool
    ) -> None:
        self._launcher, self._signals, self._watched, self._apart = launcher, signals, watched, apart
        self._replicas = [Replica(launcher, gives_up=self._gives_up) for _ in range(count)]
        self._programs = Replica(launcher, kind="the program process", programs=True)
        self._rolling: RollingReplacement | None = None
        self._reload_asked = False
        self._was_ready = False
        self._said_why = False

    def run(self) -> None:
        """Runs until it is told to stop.

        Raises:
            UserError: no worker could start.
        """
        try:
            while not self._signals.stops:
                self._step()
                pipes = [process.pipe for process in self._processes() if process.pipe is not None]
                self._signals.wait(LOOK_EVERY, pipes)
        finally:
            self._stop_all()

    def _step(self) -> None:
        self._launcher.collect()
        for process in self._processes():
            self._was_ready |= process.ready
        for replica in self._replicas:
            replica.keep()
        self._reload()
        if self._apart:
            self._keep_programs()

    def _workers(self) -> list[WorkerProcess]:
        return [replica.process for replica in self._replicas if replica.process is not None]

    def _processes(self) -> list[WorkerProcess]:
        others = (self._programs.process, self._rolling.successor if self._rolling else None)
        return [*self._workers(), *(process for process in others if process is not None)]

    def _gives_up(self, process: WorkerProcess) -> bool:
        """Whether a worker that could not start has no successor until a file changes, which is so with reload.

        Raises:
            UserError: without reload, if no worker has been ready yet.
        """
        if self._watched is not None:
            if not self._said_why:  # the other workers report the same
                log.warning("%s; it starts again when a file changes", process.why)
            self._said_why = True
            return True
        if self._was_ready:
            return False
        raise UserError(process.why)

    def _reload(self) -> None:
        """Replaces all workers after a SIGHUP or a change. A request during a replacement is handled after it."""
        if self._signals.take_reload() or (self._watched is not None and self._watched.changed()):
            self._reload_asked = True
        if self._rolling is None and self._reload_asked and len(self._launcher.leaving) < MOST_LEAVING:
            self._reload_asked = self._said_why = False
            # The supervisor counts as ready, so that workers that load take no connections and clients get no 503.
            self._launcher.peers.join()
            # With reload, a developer must see that a file is broken; otherwise the old workers must keep serving.
            self._rolling = RollingReplacement(self._replicas, self._launcher, wait=self._watched is None)
        if self._rolling is not None:
            if self._rolling.step():
                if not self._rolling.failed:
                    self._replace_programs()
                self._rolling = None
        elif any(process.ready for process in self._workers()):
            self._launcher.peers.leave()

    def _replace_programs(self) -> None:
        before = self._programs.replace(None)
        if before is not None:  # it may take long to end, and its successor does not wait for that
            self._launcher.stop(before)

    def _keep_programs(self) -> None:
        wanted = any(process.has_programs for process in self._workers())
        if self._programs.process is not None or (wanted and len(self._launcher.leaving) < MOST_LEAVING):
            self._programs.keep()

    def _stop_all(self) -> None:
        """Stops all processes at once and waits for them. A further signal to stop ends them without draining."""
        if self._rolling is not None:
            self._rolling.cancel()
        for replica in (*self._replicas, self._programs):
            if (process := replica.replace(None)) is not None:
                self._launcher.stop(process)
        passed_on = self._signals.stops
        while self._launcher.leaving:
            self._signals.wait(LOOK_EVERY)
            self._launcher.collect()
            if self._signals.stops > passed_on:
                passed_on = self._signals.stops
                for process in self._launcher.leaving:
                    process.terminate()
