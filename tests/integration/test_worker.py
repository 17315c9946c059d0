"""Serving processes as an operator meets them: signals, kills, slow clients, several workers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from integration.processes import Server, serving, until_counted

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
FAST, SLOW = {"data": [[0, 0]]}, {"data": [[0.5, 0]]}
STUBBORN = {"data": [[-1, 0]]}  # until the test writes the file `go`
ANSWER = {"prediction": [0.25, 0.75]}


@contextmanager
def sleeper(tmp_path: Path, *arguments: str, environ: dict[str, str] | None = None) -> Iterator[Server]:
    shutil.copy(HERE / "app_for_tests.py", tmp_path / "app.py")
    with serving(tmp_path / "app.py", *arguments, cwd=tmp_path, environ=environ) as server:
        yield server


def in_background(server: Server, *request: Any) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(server.ask(*request)))
    thread.start()
    time.sleep(0.2)  # until it is in flight
    return thread, answers


def test_sigterm_answers_what_is_in_flight_and_exits_with_0(tmp_path: Path) -> None:
    with sleeper(tmp_path) as server:
        thread, answers = in_background(server, "/predict", SLOW)
        assert server.stop() == 0
        thread.join()
        assert answers == [(200, ANSWER)]


def test_while_draining_ready_is_503_and_requests_are_still_answered(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--drain-delay", "1.5") as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.ask("/health/ready")[0] == 503
        assert server.ask("/predict", FAST) == (200, ANSWER)
        assert server.stop() == 0  # the second signal ends the wait


def test_a_client_that_leaves_and_one_past_its_deadline_leave_the_server_whole(tmp_path: Path) -> None:
    with sleeper(tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", "/predict", json.dumps(STUBBORN))
        until_counted(server, 'mlpatterns_limit_in_flight{piece="server:sleeper"} 1.0')
        connection.close()
        assert server.ask("/predict", STUBBORN, {"x-request-timeout-ms": "100"})[0] == 504  # its work goes on
        (tmp_path / "go").touch()
        until_counted(server, 'mlpatterns_requests_total{route="/predict",status="499"} 1.0')
        assert server.ask("/predict", FAST) == (200, ANSWER)


def test_the_connection_stays_in_step_after_a_refused_body(tmp_path: Path) -> None:
    with (
        sleeper(tmp_path, environ={"MLPATTERNS_MAX_BODY_BYTES": "2000000"}) as server,
        closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection,
    ):
        for path, body, status in (
            ("/predict", b" " * 3_000_000, 413),
            ("/predict", b'{"data": [[0, 0]]}', 200),
            ("/unknown", b"x" * 100_000, 404),
            ("/predict", b'{"data": [[0, 0]]}', 200),
        ):
            connection.request("POST", path, body)
            response = connection.getresponse()
            response.read()
            assert response.status == status


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\nContent-Length: 5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /x",
        b"nonsense\r\n\r\n",
        b"\x00\xff\x16\x03\x01",
    ],
)
def test_malformed_http_gets_no_answer_that_means_success(tmp_path: Path, raw: bytes, shared: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=5) as client:
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(4096):
            answer += chunk
    assert b" 200 " not in answer
    assert shared.ask("/predict", FAST) == (200, ANSWER)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sleeper(tmp_path_factory.mktemp("shared")) as server:
        yield server


def test_a_false_length_that_never_arrives_is_given_up(tmp_path: Path) -> None:
    with (
        sleeper(tmp_path, "--request-timeout", "0.5") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = b""
        while chunk := client.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive in time" in answer
        assert server.ask("/predict", FAST) == (200, ANSWER)


@pytest.mark.slow
def test_a_head_that_never_ends_is_closed(tmp_path: Path) -> None:
    with (
        sleeper(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as dripping,
    ):
        dripping.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")
        assert (silent.recv(100), dripping.recv(100)) == (b"", b"")
        assert server.ask("/predict", FAST) == (200, ANSWER)


def test_metrics_add_up_over_workers_and_survive_the_death_of_one(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--workers", "2") as server:
        for _ in range(40):
            assert server.ask("/predict", FAST) == (200, ANSWER)
        assert _predictions(server) == 40
        workers = psutil.Process(server.process.pid).children()
        assert len(workers) == 2
        os.kill(workers[0].pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            alive = [child.pid for child in psutil.Process(server.process.pid).children()]
            if len(alive) == 2 and workers[0].pid not in alive:
                break
            time.sleep(0.1)
        for _ in range(10):
            assert server.ask("/predict", FAST) == (200, ANSWER)
        assert _predictions(server) == 50
        assert server.stop() == 0
        assert not [worker for worker in workers if worker.is_running() and worker.status() != "zombie"]


def test_sighup_replaces_every_worker_while_all_requests_are_answered_and_none_by_a_broken_one(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--workers", "2") as server:
        before = _workers(server)
        file = tmp_path / "app.py"
        file.write_text(file.read_text().replace("[[0.25, 0.75]]", "[[0.5, 0.5]]"))
        server.process.send_signal(signal.SIGHUP)
        until, answers = time.monotonic() + 30, []
        while before & _workers(server) and time.monotonic() < until:
            answers.append(server.ask("/predict", FAST))
        assert not before & _workers(server)
        changed = (200, {"prediction": [0.5, 0.5]})
        assert {str(answer) for answer in answers} <= {str((200, ANSWER)), str(changed)}
        # Each of those that are there now was ready before the one it came for went.
        there = _workers(server)
        file.write_text("this is no Python\n")
        server.process.send_signal(signal.SIGHUP)
        for count in (3, 2):  # with the one that tries, and without it
            while len(_workers(server)) != count and time.monotonic() < until:
                assert server.ask("/predict", FAST) == changed
        assert _workers(server) == there
        assert server.ask("/predict", FAST) == changed
        assert server.stop() == 0
    assert "the new worker did not become ready, so the old workers continue" in server.output


def _workers(server: Server) -> set[int]:
    return {child.pid for child in psutil.Process(server.process.pid).children()}


def test_statistics_add_up_over_workers_and_what_reaches_one_alone_is_refused(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--workers", "2", environ={"MLPATTERNS_ADMIN_TOKEN": "t0ken"}) as server:
        for _ in range(20):
            assert server.ask("/predict", FAST) == (200, ANSWER)
        for _ in range(4):  # whichever worker is asked
            (one,) = server.ask("/v2/models/sleeper/stats")[1]["model_stats"]
            assert (one["inference_count"], one["inference_stats"]["success"]["count"]) == (20, 20)
            assert abs(one["last_inference"] / 1000 - time.time()) < 60
        status, said = server.ask("/v2/repository/models/sleeper/unload", b"", {"x-admin-token": "t0ken"})
        assert (status, "send SIGHUP" in said["error"]) == (409, True)
        assert server.ask("/predict", FAST) == (200, ANSWER)


def _predictions(server: Server) -> float:
    text = server.ask("/metrics")[1]
    line = 'mlpatterns_requests_total{route="/predict",status="200"} '
    return sum(float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line))


def test_workers_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--workers", "2") as server:
        workers = psutil.Process(server.process.pid).children()
        server.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=15)
        assert not alive


HANGS = """
import asyncio
from mlpatterns import serve
from mlpatterns.testing import CountingModel

class Hanging(CountingModel):
    async def stop(self):
        await asyncio.sleep(600)

app = serve(Hanging)
"""


@pytest.mark.slow  # the seconds that it is waited for
def test_a_predictor_whose_stop_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HANGS)
    with serving(tmp_path / "app.py", cwd=tmp_path, environ={"MLPATTERNS_REQUEST_TIMEOUT": "1"}) as server:
        assert server.stop() == 1
        assert "the predictors did not stop within 6 s; the process ends" in server.output


def test_reload_serves_the_changed_file(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--reload") as server:
        file = tmp_path / "app.py"
        file.write_text(file.read_text().replace("[[0.25, 0.75]]", "[[0.5, 0.5]]"))
        until = time.monotonic() + 20
        while server.ask("/predict", FAST)[1] == ANSWER and time.monotonic() < until:
            time.sleep(0.1)
        assert server.ask("/predict", FAST) == (200, {"prediction": [0.5, 0.5]})


def test_reload_waits_for_a_broken_file_to_be_mended(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--reload") as server:
        file = tmp_path / "app.py"
        whole = file.read_text()
        file.write_text("this is no Python\n")
        time.sleep(3)
        assert server.process.poll() is None
        file.write_text(whole)
        server.wait_until_ready()
        assert server.ask("/predict", FAST) == (200, ANSWER)
