"""A server whose model raises what would end a thread, a task or a process: it answers, lives, and stops when told."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.processes import serving

pytestmark = pytest.mark.integration

APP = """
import asyncio, os
from mlpatterns import PythonModel, TensorSpec, serve

ERRORS = [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError, BaseException]

def load():
    pass

def predict(_, inputs):
    named = int(inputs["x"][0, 0])
    if named < len(ERRORS):
        raise ERRORS[named]("/secret/path")
    return {"y": inputs["x"].sum(axis=1)}

def build():
    return PythonModel(
        load, predict, inputs=[TensorSpec("x", "FP32", (-1, 2))], outputs=[TensorSpec("y", "FP32", (-1,))],
        run_on=os.environ["RUN_ON"], name="raises",
    )

app = serve(build)
"""


@pytest.mark.parametrize("run_on", ["loop", "thread", "process"])
def test_it_answers_lives_and_stops_when_told(tmp_path: Path, run_on: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    limits = {
        "RUN_ON": run_on,
        "MLPATTERNS_MAX_CONCURRENCY": "1",
        "MLPATTERNS_MAX_QUEUE": "0",
        "MLPATTERNS_THREADS": "1",
    }
    with serving("app.py", cwd=tmp_path, environ=limits) as server:
        for named in range(6):
            assert server.ask("/predict", {"data": [[named, 0]]}) == (500, {"error": "the model failed"})
            assert server.ask("/predict", {"data": [[98, 1]]}) == (200, {"prediction": 99.0})
        assert server.stop() == 0
