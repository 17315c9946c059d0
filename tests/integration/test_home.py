"""A home whose name means something in URLs, patterns and shells: a day's work in it leaves nothing beside it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from mlpatterns.testing import job_ended, process

# Trains, serves with two workers, and runs a demo.
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]

NAME = "it's 100% a?b#c&d=ü%41[x]*\"; $HOME"
APP = """
from mlpatterns import JobQueue, OnnxModel, PredictionLog, serve

app = serve(lambda: PredictionLog(JobQueue(OnnxModel("iris_sklearn_svc"))))
"""


def test_all_that_is_written_lies_inside_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, app = tmp_path / "parent", tmp_path / "served.py"
    parent.mkdir()
    app.write_text(APP)
    environ = {"MLPATTERNS_HOME": str(parent / NAME)}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(parent)
    assert "champion" in said("train", "iris_sklearn_svc", "--no-next")
    assert "champion:1" in said("registry", "list")
    assert asyncio.run(a_job(app, environ)) == "done"
    assert "iris_sklearn_svc" in said("log", str(app))
    assert "all 4 claims hold" in said("demo", "web_single")
    assert [path.name for path in parent.iterdir()] == [NAME]
    assert {path.name for path in (parent / NAME).glob("*.db")} == {"registry.db", "jobs.db", "log.db"}


def said(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "mlpatterns", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def a_job(app: Path, environ: dict[str, str]) -> str:
    async with process(app, "--workers", "2", environ=environ) as server:
        accepted = await server.http.post("/predict", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
        ended = await job_ended(server.http, accepted.json()["job_id"])
    return str(ended["status"])
