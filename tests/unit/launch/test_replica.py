"""A place in which one process is kept running."""

from __future__ import annotations

import pytest

from mlpatterns.launch.replica import PAUSE_MOST, STEADY, Replica
from unit.launch.processes import FakeLauncher, launcher_of


class Time:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("mlpatterns.launch.replica.time", clock)
    return clock


def pauses(launcher: FakeLauncher, replica: Replica, clock: Time, ends: int, seconds: float = 0.0) -> list[float]:
    """Ends its process `ends` times, each after being ready for `seconds`; the pauses until the next started."""
    found = []
    for _ in range(ends):
        replica.keep()
        launcher.started[-1].seconds, launcher.started[-1].ended = seconds, True
        replica.keep()
        count, began = len(launcher.started), clock.now
        while len(launcher.started) == count:
            clock.now += 0.25
            replica.keep()
        found.append(clock.now - began)
    return found


def test_the_pause_doubles_while_the_process_keeps_ending(clock: Time) -> None:
    launcher = FakeLauncher()
    replica = Replica(launcher_of(launcher))
    assert pauses(launcher, replica, clock, 7) == [1.0, 2.0, 4.0, 8.0, 16.0, PAUSE_MOST, PAUSE_MOST]
    assert launcher.finished == launcher.started[:-1]


def test_the_end_of_a_process_that_was_steady_counts_as_the_first(clock: Time) -> None:
    launcher = FakeLauncher()
    replica = Replica(launcher_of(launcher))
    assert pauses(launcher, replica, clock, 3) == [1.0, 2.0, 4.0]
    assert pauses(launcher, replica, clock, 2, STEADY) == [1.0, 1.0]


def test_a_replica_that_gave_up_waits_for_a_successor(clock: Time) -> None:
    launcher = FakeLauncher()
    replica = Replica(launcher_of(launcher), gives_up=lambda process: process.why == "no file")
    replica.keep()
    first = launcher.started[0]
    first.ended, first.could_not_start, first.why = True, True, "no file"
    replica.keep()
    clock.now += 1e6
    replica.keep()
    assert launcher.started == [first]
    assert replica.replace(None) is None
    replica.keep()
    assert len(launcher.started) == 2


def test_the_log_says_how_it_ended(clock: Time, caplog: pytest.LogCaptureFixture) -> None:
    launcher = FakeLauncher()
    replica = Replica(launcher_of(launcher), kind="the program process")
    replica.keep()
    launcher.started[0].ending, launcher.started[0].ended = "was killed by SIGBUS", True
    replica.keep()
    assert caplog.messages == ["the program process 0 was killed by SIGBUS; another starts in 1 s"]
