"""Several ONNX files behind one port: workers serve all of them, and new weights of one replace the workers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from integration.processes import Server, serving
from weighted import weighted

pytestmark = pytest.mark.integration


def answers(server: Server) -> list[Any]:
    return [server.ask(f"/models/{name}/predict", {"data": [[3]]})[1]["prediction"] for name in ("one", "two")]


def identity(server: Server, name: str) -> str:
    said: str = server.ask(f"/v2/models/{name}")[1]["parameters"]["identity"]
    return said


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [weighted(tmp_path / name / f"{name}.onnx", factor) for name, factor in (("one", 2.0), ("two", 5.0))]


@pytest.mark.slow  # three processes are started
def test_each_worker_serves_all_of_them(tmp_path: Path, files: list[Path]) -> None:
    with serving(files[0], str(files[1]), "--workers", "2", cwd=tmp_path) as server:
        for _ in range(6):  # whichever worker accepts
            assert answers(server) == [[6.0], [15.0]]


@pytest.mark.slow  # processes are started, and started anew
def test_new_weights_of_one_replace_the_workers(tmp_path: Path, files: list[Path]) -> None:
    with serving(files[0], str(files[1]), "--reload", cwd=tmp_path) as server:
        before = [identity(server, name) for name in ("one", "two")]
        weighted(files[1], 7.0)
        until = time.monotonic() + 30
        while answers(server) != [[6.0], [21.0]] and time.monotonic() < until:
            time.sleep(0.1)
        assert answers(server) == [[6.0], [21.0]]
        assert identity(server, "one") == before[0]
        assert identity(server, "two") != before[1]
