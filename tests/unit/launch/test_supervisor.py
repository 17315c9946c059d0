"""The loop of a supervisor, over processes that the test decides over."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mlpatterns.launch.file_watcher import FileWatcher
from mlpatterns.launch.signals import Signals
from mlpatterns.launch.supervisor import MOST_LEAVING, Supervisor
from mlpatterns.user_errors import UserError
from unit.launch.processes import FakeLauncher, launcher_of


class Script:
    """Stands in for the signals: each wait runs the next step of a test; after the last one it is told to stop."""

    def __init__(self, *steps: Any) -> None:
        self._steps = list(steps)
        self.stops, self.reload = 0, False

    def wait(self, seconds: float, files: Any = ()) -> None:
        if self._steps:
            self._steps.pop(0)()
        else:
            self.stops = 1

    def take_reload(self) -> bool:
        asked, self.reload = self.reload, False
        return asked


class Changed:
    """Files that changed since the last look, if the test says so."""

    def __init__(self) -> None:
        self.now = False

    def changed(self) -> bool:
        changed, self.now = self.now, False
        return changed


def run(launcher: FakeLauncher, script: Script, *, watched: Changed | None = None, apart: bool = False) -> None:
    watcher, signals = cast("FileWatcher | None", watched), cast("Signals", script)
    Supervisor(launcher_of(launcher), signals, 1, watcher, apart=apart).run()


def ready(launcher: FakeLauncher, *, programs: bool = False) -> None:
    launcher.started[-1].ready, launcher.started[-1].has_programs = True, programs


def fail(launcher: FakeLauncher) -> None:
    process = launcher.started[-1]
    process.ended = process.could_not_start = True
    process.why = "there is no model"


def test_a_first_worker_that_says_why_it_cannot_start_ends_all() -> None:
    launcher = FakeLauncher()
    with pytest.raises(UserError, match="there is no model"):
        run(launcher, Script(lambda: fail(launcher)))


def test_one_that_cannot_start_after_another_was_ready_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpatterns.launch.replica.PAUSE_FIRST", 0.0)
    launcher = FakeLauncher()

    def killed() -> None:
        launcher.started[-1].ended = True

    steps = (lambda: ready(launcher), lambda: None, killed, lambda: None, lambda: fail(launcher), lambda: None)
    run(launcher, Script(*steps, lambda: None))
    assert len(launcher.started) == 3


def test_with_reload_one_that_cannot_start_waits_for_a_change(caplog: pytest.LogCaptureFixture) -> None:
    launcher, watched = FakeLauncher(), Changed()

    def change() -> None:
        assert len(launcher.started) == 1
        watched.now = True

    run(launcher, Script(lambda: fail(launcher), lambda: None, change, lambda: None), watched=watched)
    assert len(launcher.started) == 2
    assert caplog.messages.count("there is no model; it starts again when a file changes") == 1


@pytest.mark.parametrize("works", [True, False])
def test_the_programs_are_replaced_after_the_workers_unless_that_failed(works: bool) -> None:
    launcher = FakeLauncher()
    script = Script()

    def ask() -> None:
        assert len(launcher.started) == 2, "the programs have a process"
        script.reload = True

    def successor() -> None:
        if works:
            ready(launcher, programs=True)
        else:
            fail(launcher)

    nothing = (lambda: None,) * 3
    script._steps = [lambda: ready(launcher, programs=True), ask, successor, *nothing]
    run(launcher, script, apart=True)
    assert [process.programs for process in launcher.started].count(True) == (2 if works else 1)


def test_while_too_many_processes_leave_a_reload_waits() -> None:
    launcher = FakeLauncher()
    script = Script()
    stuck: list[Any] = [object() for _ in range(MOST_LEAVING)]

    def ask() -> None:
        launcher.leaving = list(stuck)
        script.reload = True

    def one_ends() -> None:
        assert len(launcher.started) == 1
        launcher.leaving.clear()

    script._steps = [lambda: ready(launcher), ask, one_ends, lambda: None]
    run(launcher, script)
    assert len(launcher.started) == 2
