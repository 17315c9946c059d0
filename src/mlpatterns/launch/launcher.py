"""Starts the processes of one supervisor, and cleans up after each that has ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from msgspec.structs import replace

from mlpatterns.launch.peers import Peers
from mlpatterns.launch.shared_memory import shared_memory
from mlpatterns.launch.worker_process import WorkerArguments, WorkerProcess
from mlpatterns.metrics import SharedMetrics

__all__ = ["Launcher"]

log = logging.getLogger("mlpatterns")


class Launcher:
    """Starts processes, and gives each a number: its index in the memory that all processes share.

    The number is free again when the process has ended and its metrics are saved, so that no process inherits the state
    of another.

    Args:
        arguments: the arguments of every process; `number` and `programs` are set for each.
        environment: the environment of every process.
    """

    def __init__(self, arguments: WorkerArguments, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._free = list(range(arguments.processes))
        self._leaving: list[WorkerProcess] = []
        count = arguments.processes + 1  # the last one is the supervisor
        metrics, peers = _shared(SharedMetrics.size(arguments.processes)), _shared(count)
        self._metrics = None if metrics is None else SharedMetrics(metrics, arguments.processes)
        self.peers = Peers(peers, count, arguments.processes)
        self._arguments = replace(arguments, metrics=metrics, peers=peers)

    @property
    def leaving(self) -> list[WorkerProcess]:
        """The processes that were told to stop and have not ended yet."""
        return self._leaving

    def start(self, *, programs: bool = False) -> WorkerProcess:
        number = self._free[0]
        process = WorkerProcess(replace(self._arguments, number=number, programs=programs), self._environment)
        self._free.remove(number)
        return process

    def stop(self, process: WorkerProcess) -> None:
        """Tells a process to stop; `collect` cleans up when it has ended."""
        process.terminate()
        self._leaving.append(process)

    def collect(self) -> None:
        """Cleans up after the processes that were told to stop and have ended."""
        for process in [process for process in self._leaving if process.ended]:
            self._leaving.remove(process)
            self.finish(process)

    def finish(self, process: WorkerProcess) -> None:
        """Saves the metrics of an ended process, and frees its number."""
        process.close()
        if self._metrics is not None:
            self._metrics.fold(process.number)
        self.peers.remove(process.number)
        self._free.append(process.number)


def _shared(size: int) -> int | None:
    try:
        return shared_memory(size)
    except OSError as error:
        log.warning("the workers cannot share memory, so /metrics covers only the worker that answers: %s", error)
        return None
