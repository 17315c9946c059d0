"""The documentation site, built as by `make docs`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from services import unreachable

__all__ = ["REPOSITORY", "build_site"]

REPOSITORY = Path(__file__).parents[1]


def build_site(folder: Path) -> Path:
    """Builds the site in strict mode into `folder`; skips the test if MkDocs is not installed."""
    if find_spec("mkdocs") is None or find_spec("material") is None:
        unreachable("MkDocs", "it is not installed: pip install 'mlpatterns[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
