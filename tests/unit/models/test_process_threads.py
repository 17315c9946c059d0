"""The children of a PythonModel share the CPUs among the threads of the libraries they use."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from mlpatterns.metadata import TensorSpec
from mlpatterns.models.python import process as python_process
from mlpatterns.models.python.python import PythonModel
from mlpatterns.models.python.threads import VARIABLES
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import request
from unit.models import functions

pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def said(processes: int, workers: int = 1) -> str:
    """What a child was told: OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, threads of ONNX Runtime."""
    root = PythonModel(predict=functions.threads_here, inputs=[TensorSpec("x", "FP32", (-1, 1))], processes=processes,
                       outputs=[TensorSpec("said", "BYTES", (-1,))], run_on="process")  # fmt: skip

    async def main() -> Any:
        async with running(root, settings=Settings(control="memory://", workers=workers)):
            return (await root.predict(request({"x": [[1.0]]}))).outputs["said"][0].decode()

    return str(asyncio.run(main()))


@pytest.mark.parametrize(("processes", "workers", "expected"), [(2, 1, 6), (1, 4, 3), (3, 8, 1)])
def test_each_child_has_its_share_of_the_cpus(
    processes: int, workers: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_process, "cpus", lambda: 12)
    assert said(processes, workers) == ",".join([str(expected)] * 4)
    assert not set(VARIABLES) & set(os.environ)  # of this process nothing has changed


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_process, "cpus", lambda: 12)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    assert said(2) == "6,6,5,6"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert said(2) == "3,,5,3"
