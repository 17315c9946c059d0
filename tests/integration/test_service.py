"""One file, in one process and in three: the same answers; and a part that is down, or comes late, or comes back."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from integration.processes import Server, free_port, serving

pytestmark = pytest.mark.integration

APP = """
import numpy as np
from mlpatterns import FanOut, PythonModel, Service, TensorSpec, serve

ROWS, SCORE = TensorSpec("rows", "FP32", (-1, 2)), TensorSpec("score", "FP32", (-1, 1))


def times(factor):
    def predict(_, inputs):
        return {"score": inputs["rows"].sum(axis=1, keepdims=True) * np.float32(factor)}
    return PythonModel(lambda: None, predict, inputs=[ROWS], outputs=[SCORE], name=f"times-{factor}")


def build():
    return FanOut({"twice": Service("twice", times(2)), "thrice": Service("thrice", times(3))}, name="both")


app = serve(build)
"""
REQUEST = {"inputs": [{"name": "rows", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}]}


def ask(server: Server) -> tuple[int, Any]:
    status, answer = server.ask("/v2/models/both/infer", REQUEST)
    return status, {output["name"]: output["data"] for output in answer["outputs"]} if status == 200 else answer


def until(server: Server, status: int, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while True:
        found, answer = ask(server)
        if found == status or time.monotonic() > end:
            assert found == status, answer
            return answer
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_parts_in_processes_of_their_own_answer_as_in_one_and_may_fail_and_come_back(
    tmp_path: Path, scheme: str
) -> None:
    (tmp_path / "app.py").write_text(APP)
    with serving("app.py", cwd=tmp_path) as whole:
        expected = ask(whole)
    assert expected == (200, {"twice.score": [6.0, 14.0], "thrice.score": [9.0, 21.0]})

    port = free_port()
    flags = ("--grpc-port", str(port)) if scheme == "grpc" else ()
    http = None if scheme == "grpc" else port
    with serving("app.py", "--service", "twice", cwd=tmp_path) as twice:
        addresses = {
            "MLPATTERNS_SERVICE_TWICE_URL": f"http://127.0.0.1:{twice.port}",
            "MLPATTERNS_SERVICE_THRICE_URL": f"{scheme}://127.0.0.1:{port}",  # nobody listens there yet
        }
        with serving("app.py", cwd=tmp_path, environ=addresses, ready="/health/live") as front:
            assert front.ask("/health/ready")[0] == 503
            assert ask(front)[0] == 503

            part = ("app.py", "--service", "thrice", *flags)
            with serving(*part, cwd=tmp_path, port=http, environ=addresses) as thrice:
                assert (200, until(front, 200)) == expected
                assert front.ask("/health/ready")[0] == 200
                thrice.stop(signal.SIGKILL)
                assert "thrice" in until(front, 503)["error"]

            with serving(*part, cwd=tmp_path, port=http):
                assert (200, until(front, 200)) == expected
