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
    """Gives each process a number, and with it a place in the memory that all processes share.

    The number is free again when the process has ended and what it counted is kept, so that no process inherits
    anything of another.

    Args:
        arguments: of every process; the number and whether it runs programs differ.
        environment: of every process.
    """

    def __init__(self, arguments: WorkerArguments, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._free = list(range(arguments.processes))
        self._leaving: list[WorkerProcess] = []
        count = arguments.processes + 1  # the supervisor is the last
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
        """Tells a process to stop; `collect` finishes it when it has."""
        process.terminate()
        self._leaving.append(process)

    def collect(self) -> None:
        """Finishes those that were told to stop and have ended."""
        for process in [process for process in self._leaving if process.ended]:
            self._leaving.remove(process)
            self.finish(process)

    def finish(self, process: WorkerProcess) -> None:
        """Keeps what an ended process counted, and frees its number."""
        process.close()
        if self._metrics is not None:
            self._metrics.fold(process.number)
        self.peers.remove(process.number)
        self._free.append(process.number)


def _shared(size: int) -> int | None:
    try:
        return shared_memory(size)
    except OSError as error:
        log.warning("the workers cannot share memory, so /metrics is of the worker that is asked alone: %s", error)
        return None
