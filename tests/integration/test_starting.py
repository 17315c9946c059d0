"""A server whose models load for long: live from the first second, not ready, and ended when it is told to."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from integration.processes import PATIENCE, Server, free_port, serving

pytestmark = pytest.mark.integration

APP = """
import asyncio, os, time
import numpy as np
from mlpatterns import BasePredictor, PythonModel, TensorSpec, serve

LOAD = os.environ["LOAD"]

def load():
    if LOAD == "fails":
        raise FileNotFoundError("weights.bin")
    if LOAD == "second":  # the first worker is ready at once, the other one later
        try:
            os.close(os.open("first", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            time.sleep(3)
    if LOAD in ("loop", "thread", "process"):
        time.sleep(600)

def predict(_, inputs):
    return {"y": inputs["x"].sum(axis=1)}

class Blocks(BasePredictor):
    metadata = None

    async def start(self, runtime):
        time.sleep(600)

class Waits(Blocks):
    async def start(self, runtime):
        await asyncio.sleep(600)

def build():
    if LOAD == "blocks":
        return Blocks("blocks")
    if LOAD == "waits":
        return Waits("waits")
    run_on = LOAD if LOAD in ("thread", "process") else "loop"
    specs = [TensorSpec("x", "FP32", (-1, 2))], [TensorSpec("y", "FP32", (-1,))]
    return PythonModel(load, predict, inputs=specs[0], outputs=specs[1], run_on=run_on, name="slow")

app = serve(build)
"""
PLAIN = """
import asyncio

async def app(scope, receive, send):
    assert scope["type"] == "lifespan", "no request may come before the app has started"
    await receive()
    await asyncio.sleep(600)
"""
ROW = {"data": [[1, 2]]}
SOON = 4.0  # seconds; twice what a server may take from SIGTERM to its end, because the tests share the machine


@contextmanager
def loading(tmp_path: Path, load: str, *flags: str, app: str = APP) -> Iterator[Server]:
    """A server that has begun to load, as soon as it says that it is live."""
    (tmp_path / "app.py").write_text(app)
    with serving(
        "app.py", *flags, cwd=tmp_path, environ={"LOAD": load}, ready="/health/live" if load != "blocks" else None
    ) as server:
        yield server


def stops_soon(server: Server) -> None:
    workers = psutil.Process(server.process.pid).children()
    began = time.monotonic()
    assert server.stop() in (0, -signal.SIGTERM)
    assert time.monotonic() - began < SOON
    psutil.wait_procs(workers, timeout=SOON)
    assert not [worker for worker in workers if worker.is_running() and worker.status() != "zombie"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("load", ["loop", "thread", "process", "waits"])
def test_while_its_models_load_it_is_live_and_not_ready_and_stops_when_told(
    tmp_path: Path, load: str, workers: str
) -> None:
    """Two processes must start, and a second passes until a load is abandoned."""
    with loading(tmp_path, load, "--workers", workers) as server:
        for _ in range(4):
            assert server.ask("/health/live") == (200, {"live": True})
            status, said = server.ask("/health/ready")
            assert (status, said["ready"]) == (503, False)
            assert server.ask("/predict", ROW) == (503, {"error": "the server is not ready yet"})
            assert server.ask("/v2/health/live")[0] == 200
            assert server.ask("/v2/health/ready")[0] == 503
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.getheader("retry-after"), answer.getheader("connection")) == (503, "1", "close")
        connection.close()
        stops_soon(server)
    assert f"is on http://127.0.0.1:{server.port}" not in server.output or workers == "2"


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_load_that_holds_the_event_loop_does_not_keep_it_from_its_end(tmp_path: Path, workers: str) -> None:
    """It waits until the load has begun, which nobody can ask for."""
    with loading(tmp_path, "blocks", "--workers", workers) as server:
        time.sleep(1.5)  # it cannot say that it loads
        assert server.process.poll() is None
        stops_soon(server)


@pytest.mark.slow
def test_an_asgi_app_of_another_make_sees_no_request_before_it_has_started(tmp_path: Path) -> None:
    """A process must start, and a second passes until its start is abandoned."""
    with loading(tmp_path, "", app=PLAIN) as server:
        assert server.ask("/health/ready")[0] == 503
        assert server.ask("/")[0] == 503
        stops_soon(server)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_load_that_fails_still_ends_it_with_one_sentence(tmp_path: Path, workers: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    ended = subprocess.run(
        [sys.executable, "-m", "mlpatterns", "run", "app.py", "--workers", workers, "--port", str(free_port())],
        cwd=tmp_path, env={**os.environ, "LOAD": "fails"}, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert ended.returncode == 1
    sentence = "mlpatterns: the model 'slow' did not load: FileNotFoundError: weights.bin"
    assert (ended.stdout + ended.stderr).strip().splitlines()[-1] == sentence


@pytest.mark.slow
def test_once_a_worker_is_ready_no_request_meets_another_that_still_loads(tmp_path: Path) -> None:
    """It waits for the three seconds that the second worker loads."""
    with loading(tmp_path, "second", "--workers", "2") as server:
        server.wait_until_ready()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert server.ask("/predict", ROW) == (200, {"prediction": 3.0})
        assert server.stop() == 0
    assert server.output.count("a worker of app.py is ready") >= 2
