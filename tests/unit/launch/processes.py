"""Processes that a test decides over, in place of those that a launcher starts."""

from __future__ import annotations

from typing import Any, cast

from mlpatterns.launch.launcher import Launcher
from mlpatterns.launch.peers import Peers

__all__ = ["FakeLauncher", "FakeProcess", "launcher_of"]


class FakeProcess:
    """It becomes ready, ends, or says why it cannot start when the test says so."""

    def __init__(self, pid: int, *, programs: bool) -> None:
        self.pid, self.number, self.programs = pid, pid, programs
        self.ready = self.has_programs = self.ended = self.could_not_start = self.told_to_stop = False
        self.why, self.ending, self.seconds = "", "ended with status 0", 0.0
        self.pipe: int | None = None

    def ready_for(self) -> float:
        return self.seconds


class FakeLauncher:
    """Keeps every process that was started, in order."""

    def __init__(self) -> None:
        self.started: list[FakeProcess] = []
        self.finished: list[FakeProcess] = []
        self.leaving: list[Any] = []
        self.peers = Peers()

    def start(self, *, programs: bool = False) -> Any:
        self.started.append(FakeProcess(len(self.started), programs=programs))
        return self.started[-1]

    def stop(self, process: FakeProcess) -> None:
        process.told_to_stop = True
        self.leaving.append(process)

    def collect(self) -> None:
        """They end at once."""
        self.leaving = [process for process in self.leaving if not isinstance(process, FakeProcess)]

    def finish(self, process: FakeProcess) -> None:
        self.finished.append(process)


def launcher_of(fake: FakeLauncher) -> Launcher:
    return cast("Launcher", fake)
