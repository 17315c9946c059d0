"""In which order tests run beside each other: fast ones first, those that measure time when nothing else runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WORDS = ("-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider")  # as in the Makefile
SETTINGS = '[tool.pytest.ini_options]\npythonpath = ["tests"]\nmarkers = ["slow", "alone"]\n'
NOTED = """
import time
import pytest

def noted(name):
    for word in ("begins", "ends"):
        with open({log!r}, "a") as log:
            log.write(name + " " + word + "\\n")
        time.sleep(0.1 if word == "begins" else 0)
"""
FAST = """
@pytest.mark.parametrize("number", range(3))
def test_fast(number):
    noted("fast")
"""
MIXED = """
@pytest.mark.alone
def test_alone():
    noted("alone")

@pytest.mark.parametrize("number", range({slow}))
@pytest.mark.slow
def test_slow(number):
    noted("slow {slow}")
"""


@pytest.mark.slow  # pytest with two processes of its own
def test_fast_ones_come_first_and_those_alone_last_beside_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    for folder in ("unit", "integration"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    for name in ("conftest.py", "alone.py"):
        shutil.copy(TESTS / name, tmp_path / "tests")
    for number in range(1, 5):
        (tmp_path / f"tests/unit/test_fast_{number}.py").write_text(NOTED.format(log=str(log)) + FAST)
        mixed = NOTED.format(log=str(log)) + MIXED.format(slow=number)
        (tmp_path / f"tests/integration/test_mixed_{number}.py").write_text(mixed)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *WORDS, "tests"],
        cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = log.read_text().splitlines()
    assert lines[-8:] == ["alone begins", "alone ends"] * 4
    begun = [line.removesuffix(" begins") for line in lines[:-8] if line.endswith(" begins")]
    assert begun[:8] == ["fast"] * 8  # of 12: a process goes on with slow ones while the other ends the last fast file
    assert begun.index("slow 4") < begun.index("slow 1")
