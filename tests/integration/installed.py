"""mlpatterns as a user has it: a wheel, installed into an environment of its own, far from the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from integration.processes import Server, free_port

__all__ = ["REPOSITORY", "Installed", "clean", "install"]

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "production_classifier"
MADE = shutil.ignore_patterns("model.onnx", ".venv", ".mlpatterns", "__pycache__", ".pytest_cache", "dist")
PATIENCE = 240.0  # seconds for one command; installing may have to download


class Installed(Struct, frozen=True):
    """A fresh environment.

    Attributes:
        wheel: what was installed.
        project: a copy of the example, whose dependencies are installed too.
        commands: the folder with `python` and `mlpatterns`.
    """

    wheel: Path
    project: Path
    commands: Path

    def run(self, *command: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Runs one command of the environment to its end."""
        words = [str(self.commands / command[0]), *map(str, command[1:])]
        return subprocess.run(
            words, cwd=cwd, env=clean(environ), text=True, capture_output=True, timeout=PATIENCE, check=False
        )

    @contextmanager
    def serving(self, *command: str | Path, cwd: Path, **environ: str) -> Iterator[Server]:
        """`command --port PORT` as a process, ready on that free port; ended at the end whatever happened."""
        port = free_port()
        words = [str(self.commands / command[0]), *map(str, command[1:]), "--port", str(port)]
        process = subprocess.Popen(
            words, cwd=cwd, env=clean(environ), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        server = Server(process, port)
        try:
            server.wait_until_ready()
            yield server
        finally:
            server.stop()


def clean(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what leads back to this environment or sets mlpatterns up."""
    strange = ("MLPATTERNS_", "PYTHON", "VIRTUAL_ENV", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return {**kept, **extra}


def install(folder: Path) -> Installed:
    """Builds the wheel and installs it, with the example's dependencies, into a new environment in `folder`."""
    _do(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", REPOSITORY)
    (wheel,) = (folder / "dist").glob("*.whl")
    project = Path(shutil.copytree(EXAMPLE, folder / "project", ignore=MADE))
    _do(sys.executable, "-m", "venv", folder / "venv")
    commands = folder / "venv" / "bin"
    whole = f"mlpatterns[demo] @ {wheel.as_uri()}"
    quiet = ("--quiet", "--disable-pip-version-check", "--no-compile")
    _do(commands / "python", "-m", "pip", "install", *quiet, whole, f"{project}[train,test]")
    return Installed(wheel, project, commands)


def _do(*command: str | Path) -> None:
    done = subprocess.run(
        list(map(str, command)), env=clean({}), text=True, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
