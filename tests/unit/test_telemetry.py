"""A model that is loaded and run tells nobody: ONNX Runtime's own telemetry is off unless the user sets it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from releases import graph
from services import unreachable

RUN = """
import asyncio, pathlib, sys
import numpy as np
from mlpatterns import OnnxModel
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import request

async def main():
    model = OnnxModel(f"file:{sys.argv[1]}/times.onnx")
    async with running(model, settings=Settings(home=pathlib.Path(sys.argv[1]))):
        print((await model.predict(request({"x": np.ones((1, 1), np.float32)}))).outputs["y"].tolist())

asyncio.run(main())
"""
WRITES = re.compile(r'(?:openat|mkdir|rename|unlink)[a-z0-9]*\((?:AT_FDCWD, )?"([^"]+)"(.*)')


def environ(home: Path) -> dict[str, str]:
    """Without what ONNX Runtime takes for a test of its own, or for continuous integration."""
    kept = {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE"} & {*os.environ}
    return {**{name: os.environ[name] for name in kept}, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def test_running_a_model_connects_to_nobody_and_writes_no_file_outside_of_home(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        unreachable("strace", "it is not installed")
    (tmp_path / "times.onnx").write_bytes(graph(2.0))
    (tmp_path / "user").mkdir()
    trace = ["strace", "-f", "-qq", "-e", "trace=network,file", "-o", str(tmp_path / "trace")]
    done = subprocess.run([*trace, sys.executable, "-c", RUN, str(tmp_path)], env=environ(tmp_path / "user"),
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == "[[2.0]]\n"
    calls = (tmp_path / "trace").read_text().splitlines()
    assert [call for call in calls if "AF_INET" in call] == []
    assert [call for call in calls if writes_outside(call, tmp_path)] == []
    assert list((tmp_path / "user").iterdir()) == []


def writes_outside(call: str, home: Path) -> bool:
    match = WRITES.search(call)
    if match is None or ("openat(" in call and not re.search("O_(WRONLY|RDWR|CREAT)", match[2])):
        return False
    return not match[1].startswith((f"{home}/times", "/dev/", "/proc/"))


@pytest.mark.parametrize("own", ["0", "1", ""])
def test_what_the_user_says_of_it_stays(own: str) -> None:
    code = "import os, mlpatterns; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "ORT_DISABLE_TELEMETRY": own},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == f"{own}\n"
