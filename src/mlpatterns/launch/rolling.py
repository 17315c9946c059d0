"""Replaces all workers one by one; with `wait`, at least one is ready at any time."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from mlpatterns.launch.launcher import Launcher
from mlpatterns.launch.replica import Replica
from mlpatterns.launch.worker_process import WorkerProcess

__all__ = ["RollingReplacement"]

log = logging.getLogger("mlpatterns")

START_PATIENCE = 120.0  # seconds until the successor of a worker must be ready


class RollingReplacement:
    """Replaces the process of each replica, one replica after the other.

    When the successor is ready, the old process is told to stop; when it has ended, the next replica follows. If a
    successor does not become ready, it is stopped, and the remaining replicas keep their processes.

    Args:
        wait: if false, the old process is told to stop before its successor is ready.

    Attributes:
        failed: whether a successor did not become ready.
    """

    def __init__(self, replicas: Sequence[Replica], launcher: Launcher, *, wait: bool) -> None:
        log.info("replacing the workers")
        self._todo, self._launcher, self._wait = list(replicas), launcher, wait
        self._before: WorkerProcess | None = None
        self._successor: WorkerProcess | None = None
        self._until = 0.0
        self.failed = False

    @property
    def successor(self) -> WorkerProcess | None:
        """The successor that is not ready yet."""
        return self._successor

    def step(self) -> bool:
        """Does what can be done now. Returns whether the replacement has ended, by completion or failure."""
        if self._before in self._launcher.leaving:
            return False
        if self._successor is None:
            if not self._todo:
                return True
            self._successor = self._launcher.start()
            self._until = time.monotonic() + START_PATIENCE
        if self._successor.ready or not self._wait:
            self._before = self._todo.pop(0).replace(self._successor)
            self._successor = None
            if self._before is not None:
                self._launcher.stop(self._before)
            return False
        if self._successor.ended or self._successor.why or time.monotonic() >= self._until:
            why = f": {self._successor.why}" if self._successor.why else ""
            log.warning("the new worker did not become ready, so the old workers continue%s", why)
            self.failed = True
            self.cancel()
            return True
        return False

    def cancel(self) -> None:
        """Stops the successor that is not ready yet."""
        if self._successor is not None:
            self._launcher.stop(self._successor)
            self._successor = None
