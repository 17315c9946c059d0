"""Programs where they run: in a plain ASGI server, beside workers, alone, and in one of several replicas."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from integration.processes import Server, free_port, serving
from services import database, redis_prefix

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
CHAOS = int(os.environ.get("MLPATTERNS_CHAOS", "1"))
PATIENCE = 30.0  # seconds; only what is broken takes that long
ROW = {"data": [[1, 2]]}
ANSWER = (200, {"prediction": [3.0]})
SHORT = {"MLPATTERNS_LEASE_SECONDS": "1"}
LONG = {"MLPATTERNS_LEASE_SECONDS": "600"}  # so that who has the lease soon was given it


class Tick(NamedTuple):
    pid: int
    fence: int


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(HERE / "app_with_program.py", tmp_path / "app.py")
    return tmp_path


def ticks(folder: Path) -> list[Tick]:
    file = folder / "ticks"
    lines = file.read_text().splitlines() if file.exists() else []
    return [Tick(*map(int, line.split()[:2])) for line in lines]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def next_holder(folder: Path, *before: int) -> Tick:
    """The first tick of a process that is not one of `before`."""
    until(lambda: any(tick.pid not in before for tick in ticks(folder)))
    return next(tick for tick in ticks(folder) if tick.pid not in before)


def loads(folder: Path) -> set[int]:
    """Where the child that is apart was loaded."""
    return set(map(int, (folder / "loads").read_text().split()))


def children(server: Server) -> set[int]:
    return {child.pid for child in psutil.Process(server.process.pid).children()}


@contextmanager
def control_url(kind: str, folder: Path) -> Iterator[str]:
    if kind == "redis":
        with redis_prefix() as url:
            yield url
    else:
        with database(kind, folder) as url:
            yield url


# ---- in the app --------------------------------------------------------------------------------------------------


def test_a_plain_asgi_server_runs_the_programs_of_an_app(folder: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    server = Server(process, port)
    try:
        server.wait_until_ready()
        assert next_holder(folder).pid == process.pid
        assert server.ask("/predict", ROW) == ANSWER
    finally:
        assert server.stop() in (0, -signal.SIGTERM)  # uvicorn raises the signal again


def test_one_worker_runs_the_programs_itself_and_off_runs_none(folder: Path) -> None:
    with serving("app.py", cwd=folder) as server:
        assert next_holder(folder).pid == server.process.pid
    (folder / "ticks").unlink()
    with serving("app.py", "--programs", "off", cwd=folder) as server:
        assert server.ask("/predict", ROW) == ANSWER
        assert server.stop() == 0
    assert ticks(folder) == []


# ---- beside workers ----------------------------------------------------------------------------------------------


@pytest.mark.slow  # it starts five processes
def test_beside_workers_the_programs_have_a_process_of_their_own(folder: Path) -> None:
    with serving("app.py", "--workers", "2", cwd=folder, environ=SHORT) as server:
        first = next_holder(folder)
        assert first.pid in children(server)
        assert len(children(server)) == 3
        assert loads(folder) == {first.pid}  # what is apart is loaded by the program alone
        for _ in range(4):  # whichever worker is asked
            assert server.ask("/predict", ROW) == ANSWER
            assert 'toy_ticks_total{piece="ticking"}' in server.ask("/metrics")[1]

        os.kill(first.pid, signal.SIGKILL)
        second = next_holder(folder, first.pid)
        assert second.fence > first.fence
        assert server.ask("/predict", ROW) == ANSWER

        server.process.send_signal(signal.SIGHUP)
        third = next_holder(folder, first.pid, second.pid)
        assert third.fence > second.fence
        until(lambda: len(children(server)) == 3)
        assert server.stop() == 0
    assert not psutil.pid_exists(third.pid)


@pytest.mark.slow  # it waits for processes that must not start
@pytest.mark.parametrize("programs", ["apart", "inside", "off"])
def test_the_setting_says_where_the_programs_run(folder: Path, programs: str) -> None:
    workers = "1" if programs == "apart" else "2"
    with serving("app.py", "--workers", workers, "--programs", programs, cwd=folder) as server:
        time.sleep(1)  # until one too many would have started
        if programs == "off":
            assert ticks(folder) == []
        else:
            assert next_holder(folder).pid in children(server)
        there = psutil.Process(server.process.pid).children()
        assert len(there) == 2
        server.process.kill()
        assert not psutil.wait_procs(there, timeout=PATIENCE)[1]  # none outlives a supervisor that was killed


@pytest.mark.slow  # it waits for the failure to be seen
def test_a_program_that_fails_is_told_by_every_worker_and_ends_nothing(folder: Path) -> None:
    (folder / "fail").touch()
    said = {"ready": True, "trouble": {"programs": "ticks of ticking fails and is started anew"}}
    with serving("app.py", "--workers", "2", cwd=folder, environ=SHORT) as server:
        until(lambda: server.ask("/health/ready") == (200, said))
        assert server.ask("/predict", ROW) == ANSWER
        text = server.ask("/metrics")[1]
        assert 'mlpatterns_task_failures_total{piece="ticking",task="ticks"}' in text
        (folder / "fail").unlink()
        next_holder(folder)
        assert server.stop() == 0


# ---- alone -------------------------------------------------------------------------------------------------------


def test_work_runs_the_programs_alone_with_metrics_and_health(folder: Path) -> None:
    with serving("app.py", cwd=folder, command="work") as server:
        assert next_holder(folder).pid == server.process.pid
        assert 'toy_ticks_total{piece="ticking"}' in server.ask("/metrics")[1]
        assert server.ask("/health/live") == (200, {"live": True})
        assert server.ask("/predict", ROW)[0] == server.ask("/v2/models/ticking")[0] == 404
        assert server.stop() == 0


def test_work_listens_nowhere_unless_told(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mlpatterns", "work", "app.py"], cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        assert next_holder(folder).pid == process.pid
        sockets = [one for one in psutil.Process(process.pid).net_connections() if one.status == "LISTEN"]
        assert sockets == []
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_work_without_programs_ends_with_one_sentence(folder: Path) -> None:
    shutil.copy(HERE / "app_for_tests.py", folder / "none.py")
    for target in ("none.py", "model_db"):
        command = [sys.executable, "-m", "mlpatterns", "work", target]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "no programs" in line


# ---- in one of several replicas ----------------------------------------------------------------------------------


@pytest.mark.alone  # its leases are short
@pytest.mark.heavy  # no other process works meanwhile
@pytest.mark.slow  # it starts three servers
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_of_three_replicas_one_runs_an_exclusive_program(folder: Path, kind: str) -> None:
    with control_url(kind, folder) as url, ExitStack() as stack:
        environ = {"MLPATTERNS_CONTROL": url, **SHORT}
        replicas = [stack.enter_context(serving("app.py", cwd=folder, environ=environ)) for _ in range(3)]
        pids = {replica.process.pid for replica in replicas}
        first = next_holder(folder)
        time.sleep(2)  # so long that every replica has looked, and the holder has renewed
        assert {tick.pid for tick in ticks(folder)} == {first.pid} < pids

        os.kill(first.pid, signal.SIGKILL)
        second = next_holder(folder, first.pid)
        assert second.fence > first.fence

        os.kill(second.pid, signal.SIGTERM)
        third = next_holder(folder, first.pid, second.pid)
        assert third.fence > second.fence
        assert {first.pid, second.pid, third.pid} == pids


@pytest.mark.slow  # it starts two servers
def test_who_is_told_to_stop_hands_the_lease_back_before_its_last_answer(folder: Path) -> None:
    """With a lease of ten minutes, and while the server drains for one."""
    with ExitStack() as stack:
        draining = stack.enter_context(serving("app.py", "--drain-delay", "60", cwd=folder, environ=LONG))
        first = next_holder(folder)
        stack.enter_context(serving("app.py", cwd=folder, environ=LONG))
        draining.process.send_signal(signal.SIGTERM)
        assert next_holder(folder, first.pid).fence > first.fence
        assert draining.ask("/predict", ROW) == ANSWER


@pytest.mark.slow  # it kills and starts servers again and again
def test_no_two_holders_have_one_fence_however_often_they_are_killed(folder: Path) -> None:
    with ExitStack() as stack:
        for _ in range(3 + CHAOS):
            stack.enter_context(serving("app.py", cwd=folder, environ=SHORT))
        gone: list[int] = []
        for number in range(2 + CHAOS):
            gone.append(next_holder(folder, *gone).pid)
            os.kill(gone[-1], signal.SIGTERM if number % 3 == 2 else signal.SIGKILL)
        next_holder(folder, *gone)
        assert len({tick.pid for tick in ticks(folder)}) == len(gone) + 1
    seen = list(dict.fromkeys(ticks(folder)))
    assert [tick.fence for tick in seen] == sorted({tick.fence for tick in seen})
