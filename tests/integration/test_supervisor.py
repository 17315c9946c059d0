"""Workers that end and are replaced, workers that are told to be replaced, and what they share when a disk is full."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from integration.processes import Server, serving

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # each starts a supervisor with two workers
HERE = Path(__file__).parent
PATIENCE = 30.0  # seconds; only what is broken takes that long
ROW, ANSWER = {"data": [[1, 2]]}, (200, {"prediction": 3.0})


@contextmanager
def supervised(folder: Path, *, ready: bool = True, **environ: str) -> Iterator[Server]:
    shutil.copy(HERE / "app_that_fails.py", folder / "app.py")
    path = "/health/ready" if ready else None
    with serving("app.py", "--workers", "2", cwd=folder, environ=environ, ready=path) as server:
        yield server


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def workers(server: Server) -> set[int]:
    found = set()
    for child in psutil.Process(server.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if child.status() != psutil.STATUS_ZOMBIE:
                found.add(child.pid)
    return found


def started(server: Server) -> set[int]:
    """The workers, when there are two and all answers come from a ready one."""
    until(lambda: len(workers(server)) == 2, f"two workers, not {workers(server)}")
    until(lambda: _live_everywhere(server), "both are ready")
    return workers(server)


def _live_everywhere(server: Server) -> bool:
    """Whether a worker that is ready answers each of several new connections."""
    return all(server.ask("/health/ready")[0] == 200 for _ in range(3))


def counted(server: Server) -> float:
    line = 'mlpatterns_requests_total{route="/predict",status="200"} '
    text: str = server.ask("/metrics")[1]
    return sum(float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line))


# ---- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_worker_that_a_signal_kills_is_replaced(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path) as server:
        killed, kept = started(server)
        for _ in range(10):
            assert server.ask("/predict", ROW) == ANSWER
        until(lambda: counted(server) == 10, "all are counted")  # each is after its answer
        os.kill(killed, number)
        until(lambda: killed not in workers(server), "it is dead")
        assert kept in started(server)
        assert server.ask("/predict", ROW) == ANSWER
        until(lambda: counted(server) == 11, "none is lost or counted twice")
        assert server.stop() == 0
    assert f"worker {killed} was killed by {number.name}" in server.output


@pytest.mark.parametrize("status", [0, 3])
def test_a_worker_that_exits_by_itself_is_replaced_whatever_its_status(tmp_path: Path, status: int) -> None:
    with supervised(tmp_path) as server:
        before = started(server)
        with pytest.raises(OSError, match=r"closed|reset"):
            server.ask("/predict", {"data": [[-1 - status, 0]]})
        until(lambda: workers(server) != before, "one is gone")
        after = started(server)
        assert len(before & after) == 1
        assert server.ask("/predict", ROW) == ANSWER
        assert server.stop() == 0
    assert f"ended with status {status}" in server.output


@pytest.mark.parametrize("how", ["7", "no model is here now"])
def test_a_worker_that_cannot_start_again_is_tried_until_it_can_while_the_other_serves(
    tmp_path: Path, how: str
) -> None:
    with supervised(tmp_path) as server:
        killed, kept = started(server)
        (tmp_path / "start").write_text(how)
        os.kill(killed, signal.SIGKILL)
        until(lambda: workers(server) == {kept}, "it is dead")
        tried: set[int] = set()

        def two_tried() -> bool:
            tried.update(workers(server))
            return len(tried - {kept}) >= 2

        until(two_tried, "two that try")
        assert server.ask("/predict", ROW) == ANSWER
        (tmp_path / "start").unlink()
        assert kept in started(server)
        assert server.stop() == 0
    assert (f"ended with status {how}" if how.isdigit() else how) in server.output


def test_workers_that_never_could_start_end_all_with_their_sentence(tmp_path: Path) -> None:
    (tmp_path / "start").write_text("there is no model")
    with supervised(tmp_path, ready=False) as server:
        until(lambda: server.process.poll() is not None, "it ends")
        assert server.stop() == 1
    assert server.output.strip().splitlines()[-1] == "mlpatterns: there is no model"


# ---- signals -----------------------------------------------------------------------------------------------------


def test_a_reload_asked_for_while_one_goes_on_is_done_after_it(tmp_path: Path) -> None:
    with supervised(tmp_path) as server:
        first, seen = started(server), set[int]()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: bool(workers(server) - first), "the first reload has begun")
        server.process.send_signal(signal.SIGHUP)

        def six() -> bool:
            seen.update(workers(server))
            assert server.ask("/predict", ROW) == ANSWER
            return len(seen) == 6

        until(six, "two workers, replaced twice")
        until(lambda: len(workers(server)) == 2, "two are left")
        assert server.stop() == 0
        assert server.output.count("replacing the workers") == 2


def test_a_reload_asked_for_while_the_workers_start_is_done(tmp_path: Path) -> None:
    (tmp_path / "slow").write_text("1")
    with supervised(tmp_path, ready=False) as server:
        until(lambda: len(workers(server)) == 2, "they have begun to start")
        first = workers(server)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: not first & workers(server), "they are replaced")
        server.wait_until_ready()
        assert server.ask("/predict", ROW) == ANSWER
        assert server.stop() == 0


def test_sigterm_ends_a_reload_that_goes_on_and_all_its_workers(tmp_path: Path) -> None:
    with supervised(tmp_path) as server:
        before = started(server)
        (tmp_path / "slow").write_text("60")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(workers(server)) == 3, "a successor starts")
        there, began = before | workers(server), time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 20
        assert not [pid for pid in there if psutil.pid_exists(pid)]


# ---- a full disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "full").open("wb", buffering=0) as file, suppress(OSError):  # the last does not fit
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(folder).free == 0


@pytest.mark.parametrize("when", ["before", "later", "removed"])
def test_no_worker_ends_or_stops_counting_with_a_full_or_removed_temporary_folder(
    tmp_path: Path, tiny_disk: Path, when: str
) -> None:
    if when == "before":
        fill(tiny_disk)
    with supervised(tmp_path, TMPDIR=str(tiny_disk)) as server:
        before = started(server)
        if when == "later":
            fill(tiny_disk)
        elif when == "removed":
            for path in tiny_disk.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for _ in range(20):
            assert server.ask("/predict", ROW) == ANSWER
        for route in range(40):  # series that there were none of before
            assert server.ask(f"/predict?{route}", {"data": [[1, route]]})[0] == 200
            assert server.ask("/nowhere")[0] == 404
        until(lambda: counted(server) == 60, "all are counted")
        assert workers(server) == before
        os.kill(min(before), signal.SIGKILL)
        until(lambda: min(before) not in workers(server), "it is dead")
        assert max(before) in started(server)
        assert counted(server) == 60
        assert server.stop() == 0
