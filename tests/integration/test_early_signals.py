"""SIGHUP that comes before a supervisor is there to react to it: it must not end the server."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from integration.processes import serving
from integration.test_supervisor import ANSWER, ROW

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # each starts a supervisor with two workers
HERE = Path(__file__).parent
HANGS_UP = """
import os, signal, sys

def hang_up():
    if sys.argv[1:2] == ["run"]:  # in the supervisor, not in its workers
        os.kill(os.getpid(), signal.SIGHUP)
"""
AT_THE_FIRST_IMPORT = """
import sys
from hangs_up import hang_up

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "mlpatterns.cli":
            hang_up()

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize("when", ["the commands are imported", "the target is loaded"])
def test_a_hangup_before_the_supervisor_reacts_to_it_does_not_end_the_server(when: str, tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "hangs_up.py").write_text(HANGS_UP)
    shutil.copy(HERE / "app_that_fails.py", tmp_path / "app.py")
    if when == "the commands are imported":
        (folder / "sitecustomize.py").write_text(AT_THE_FIRST_IMPORT)
    else:
        with (tmp_path / "app.py").open("a") as app:
            app.write("\nfrom hangs_up import hang_up\n\nhang_up()\n")
    with serving("app.py", "--workers", "2", cwd=tmp_path, environ={"PYTHONPATH": path_with(folder)}) as server:
        assert server.ask("/predict", ROW) == ANSWER
        assert server.stop(signal.SIGTERM) == 0


def path_with(folder: Path) -> str:
    """Where this process finds its modules, after `folder`."""
    return os.pathsep.join([str(folder), *sys.path])
