"""The replacement of all workers, one by one."""

from __future__ import annotations

import pytest

from mlpatterns.launch.replica import Replica
from mlpatterns.launch.rolling import RollingReplacement
from unit.launch.processes import FakeLauncher, launcher_of


@pytest.fixture
def launcher() -> FakeLauncher:
    return FakeLauncher()


@pytest.fixture
def replicas(launcher: FakeLauncher) -> list[Replica]:
    replicas = [Replica(launcher_of(launcher)) for _ in range(2)]
    for replica in replicas:
        replica.keep()
    return replicas


def test_each_process_leaves_when_its_successor_is_ready_and_the_next_waits_for_its_end(
    launcher: FakeLauncher, replicas: list[Replica]
) -> None:
    first, second = launcher.started
    rolling = RollingReplacement(replicas, launcher_of(launcher), wait=True)
    assert not rolling.step()
    third = launcher.started[2]
    assert not first.told_to_stop, "the successor is not ready"
    third.ready = True
    assert not rolling.step()
    assert (first.told_to_stop, second.told_to_stop) == (True, False)
    rolling.step()
    assert len(launcher.started) == 3, "the first has not ended"
    launcher.leaving.clear()
    rolling.step()
    launcher.started[3].ready = True
    rolling.step()
    launcher.leaving.clear()
    assert rolling.step()
    assert not rolling.failed
    assert list[object](replica.process for replica in replicas) == launcher.started[2:]


@pytest.mark.parametrize("how", ["ended", "why", "late"])
def test_at_a_successor_that_does_not_become_ready_all_stay(
    launcher: FakeLauncher, replicas: list[Replica], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlpatterns.launch.rolling.START_PATIENCE", 0.0 if how == "late" else 120.0)
    rolling = RollingReplacement(replicas, launcher_of(launcher), wait=True)
    done = rolling.step()
    if how != "late":
        assert not done
        setattr(launcher.started[2], how, True if how == "ended" else "there is no model")
        done = rolling.step()
    assert done
    assert [process.told_to_stop for process in launcher.started] == [False, False, True]
    assert rolling.successor is None
    assert rolling.failed


def test_without_waiting_a_process_leaves_at_once(launcher: FakeLauncher, replicas: list[Replica]) -> None:
    rolling = RollingReplacement(replicas, launcher_of(launcher), wait=False)
    rolling.step()
    assert launcher.started[0].told_to_stop
    assert not launcher.started[1].told_to_stop


def test_a_place_whose_process_has_just_ended_gets_the_successor(
    launcher: FakeLauncher, replicas: list[Replica]
) -> None:
    launcher.started[0].ended = True
    replicas[0].keep()
    rolling = RollingReplacement(replicas, launcher_of(launcher), wait=True)
    rolling.step()
    launcher.started[2].ready = True
    rolling.step()
    successor: object = replicas[0].process
    assert successor is launcher.started[2]
    assert launcher.leaving == []
