"""One of the processes that a supervisor keeps running."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mlpatterns.launch.launcher import Launcher
from mlpatterns.launch.worker_process import WorkerProcess

__all__ = ["Replica"]

log = logging.getLogger("mlpatterns")

PAUSE_FIRST, PAUSE_MOST = 1.0, 30.0  # seconds from one process's end to the next start; doubled each time
STEADY = 10.0  # seconds of readiness after which the end of a process resets the back-off


class Replica:
    """Keeps one process running: when it ends for any reason, another is started, with back-off.

    Args:
        kind: what the process is, for the log.
        programs: whether it runs the programs and serves no requests.
        gives_up: called with a process that could not start and has reported why. If it returns True, no other is
            started until `replace`.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        kind: str = "worker",
        programs: bool = False,
        gives_up: Callable[[WorkerProcess], bool] = lambda process: False,
    ) -> None:
        self._launcher, self._kind, self._programs, self._gives_up = launcher, kind, programs, gives_up
        self.process: WorkerProcess | None = None
        self._ends = 0  # in succession
        self._start_at = 0.0

    def keep(self) -> None:
        """Starts the process if it is due, and handles one that has ended."""
        if self.process is None:
            if time.monotonic() >= self._start_at:
                self.process = self._launcher.start(programs=self._programs)
        elif self.process.ended:
            self._ended(self.process)

    def replace(self, successor: WorkerProcess | None) -> WorkerProcess | None:
        """Replaces the process with `successor` and returns the old process, if there is one. Without a successor the
        next `keep` starts a process."""
        before, self.process = self.process, successor
        self._ends, self._start_at = 0, 0.0
        return before

    def _ended(self, process: WorkerProcess) -> None:
        gives_up = process.could_not_start and self._gives_up(process)
        self._ends = 1 if process.ready_for() >= STEADY else self._ends + 1
        pause = float("inf") if gives_up else min(PAUSE_FIRST * 2 ** (self._ends - 1), PAUSE_MOST)
        self._start_at = time.monotonic() + pause
        if not gives_up:
            log.warning("%s %d %s; another starts in %g s", self._kind, process.pid, process.ending, pause)
        self.process = None
        self._launcher.finish(process)
