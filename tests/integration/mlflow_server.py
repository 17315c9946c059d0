"""A real MLflow tracking server with a registry, and what it says of itself.

The server's packages would fight with ours, so it lives in an environment of its own: `.mlflow` beside `.venv`, or
where MLPATTERNS_TEST_MLFLOW says.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest

from mlpatterns.testing import free_port

__all__ = ["PYTHON", "ask", "get", "mlflow_server"]

COMMAND = Path(os.environ.get("MLPATTERNS_TEST_MLFLOW") or Path(__file__).parents[2] / ".mlflow" / "bin" / "mlflow")
PYTHON = COMMAND.with_name("python")  # with the whole of MLflow
# No word to its makers, and none of the ten processes that would wait for jobs of language models.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
PATIENCE = 120.0  # seconds until the server answers
ask = build_opener(ProxyHandler({})).open  # not by a proxy that the environment names


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The URL of a tracking server of our own, with its database and artifacts in `folder`."""
    if not COMMAND.is_file():
        how = "python -m venv .mlflow && .mlflow/bin/pip install mlflow onnx onnxruntime"
        message = f"there is no MLflow server {COMMAND}: {how}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [COMMAND, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")],
            cwd=folder, env={**os.environ, **QUIET},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait(process, url, folder / "log")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # and its workers; all that it wrote was for these tests
            process.wait(30)


def wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with ask(f"{url}/health") as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the MLflow server did not answer; its log: {log.read_text()[-2000:]}")


def get(url: str, path: str, **query: str) -> dict[str, Any]:
    """What the server itself says, asked without MLflow's client."""
    with ask(f"{url}/api/2.0/mlflow/{path}?{urlencode(query)}") as answer:
        found: dict[str, Any] = json.load(answer)
        return found
