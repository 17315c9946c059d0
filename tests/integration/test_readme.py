"""The README and the guide are executed: every command, every answer that they show, every Python file.

How: the fenced blocks are taken in order, the README's first, in one empty folder that stands for the reader's clone.

- `sh`: the block is run by bash. `make up` and `mlpatterns run …` go on in the background until the end, as in a second
  terminal. `make up` runs in the repository, but keeps what it makes in the folder. `make test` is only looked up: to
  run it would run this test again.
- `json`: must be what the block before it printed: the same shape, names and texts; numbers within 0.001, and a SHA-256
  is any SHA-256, since both depend on the versions of the libraries.
- `python`: is saved under the name in its first line, and run.

Ports 8000 to 8009 become free ones.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.processes import Server, free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]

REPOSITORY = Path(__file__).parents[2]
PAGES = {"README.md": "README.ja.md", "docs/guide.md": "docs/guide.ja.md"}  # in order, each with its translation
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHA256 = re.compile(r"[0-9a-f]{64}")
STAMPS = (".installed", ".installed-demo")  # what make has installed, by the targets of the Makefile
PATIENCE = 120.0  # seconds for a command; `make up` trains


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return BLOCK.findall((REPOSITORY / page).read_text(encoding="utf-8"))


class Reader:
    """Someone who follows the pages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed = folder, ""
        self._ports: dict[str, int] = {}
        self._servers: list[Server] = []
        strange = ("MLPATTERNS_", "MAKE", "MFLAGS")  # `make test` tells the makes below it what it was told
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self._environ = {**kept, "PATH": path, "MLPATTERNS_HOME": str(folder / ".mlpatterns")}

    def follow(self, language: str, text: str) -> None:
        getattr(self, f"_{language}")(text)

    def leave(self) -> None:
        for server in self._servers:
            server.stop()

    def _sh(self, text: str) -> None:
        script = []
        for command in commands(text):
            if command == "make test":
                self._check_target("test")
            elif command == "make up":
                self._serve([*self.make(), "up"], self._port("8000"))
            elif command.startswith("mlpatterns run "):
                found = re.search(r"--port (800\d)", command)
                self._serve(
                    ["bash", "-c", f"exec {self._with_ports(command)}"], self._port(found[1] if found else "8000")
                )
            else:
                script.append(self._with_ports(command))
        self.printed = self._run("bash", "-euo", "pipefail", "-c", "\n".join(script))

    def _json(self, text: str) -> None:
        shown, real = json.loads(text), json.loads(self.printed)
        assert same(shown, real), f"the page shows {shown}, the answer is {real}"

    def _python(self, text: str) -> None:
        name = text.partition("\n")[0].removeprefix("# ")
        assert re.fullmatch(r"\w+\.py", name), "the first line of a python block is `# NAME.py`"
        (self.folder / name).write_text(text, encoding="utf-8")
        self._run(sys.executable, name)

    def _serve(self, command: list[str], port: int) -> None:
        environ = {**self._environ, "MLPATTERNS_PORT": str(port)}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        server = Server(process, port)
        self._servers.append(server)
        server.wait_until_ready(patience=PATIENCE)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self._environ, text=True, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done.stdout

    def make(self) -> list[str]:
        """make in the repository, with the environment that these tests run in and without installing it anew."""
        kept = (word for stamp in STAMPS for word in ("-o", f"{sys.prefix}/{stamp}"))
        return ["make", "-C", str(REPOSITORY), f"VENV={sys.prefix}", *kept]

    def _check_target(self, target: str) -> None:
        assert "pytest" in self._run(*self.make(), "--dry-run", target)

    def _port(self, written: str) -> int:
        if written not in self._ports:
            self._ports[written] = free_port()
        return self._ports[written]

    def _with_ports(self, command: str) -> str:
        return re.sub(r"\b800\d\b", lambda found: str(self._port(found[0])), command)


def commands(text: str) -> Iterator[str]:
    """The commands of a block: a line each, or more where it ends with a backslash or inside of quotes."""
    command = ""
    for line in text.splitlines():
        command += line
        if line.endswith("\\") or command.count("'") % 2:
            command += "\n"
        elif command.strip():
            yield command
            command = ""
    assert not command, f"this command does not end: {command}"


def same(shown: Any, real: Any) -> bool:
    """Whether an answer is the one that is shown."""
    if isinstance(shown, dict):
        return (
            isinstance(real, dict) and list(shown) == list(real) and all(same(shown[key], real[key]) for key in shown)
        )
    if isinstance(shown, list):
        return isinstance(real, list) and len(shown) == len(real) and all(map(same, shown, real))
    if isinstance(shown, float):
        return isinstance(real, float) and abs(shown - real) <= 1e-3
    if isinstance(shown, str) and SHA256.fullmatch(shown):
        return isinstance(real, str) and SHA256.fullmatch(real) is not None
    return type(shown) is type(real) and bool(shown == real)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.leave()


def test_every_command_runs_and_every_answer_is_the_one_shown(reader: Reader) -> None:
    """The Japanese pages have the same blocks, so what holds for one language holds for both."""
    written = [block for page in PAGES for block in blocks(page)]
    assert [block for page in PAGES.values() for block in blocks(page)] == written
    for language, text in written:
        reader.follow(language, text)
    assert [language for language, _ in written].count("json") >= 5


def test_no_target_of_the_pages_installs_into_the_environment_that_runs_these_tests(reader: Reader) -> None:
    """Not even after a change of pyproject.toml: an editable install would lead that environment to this checkout."""
    targets = {found for page in PAGES for _, text in blocks(page) for found in re.findall(r"^make (\w+)$", text, re.M)}
    assert {"up", "test"} <= targets
    for target in targets:
        words = [*reader.make(), "--dry-run", "--what-if", "pyproject.toml", target]
        planned = subprocess.run(words, cwd=reader.folder, text=True, capture_output=True, check=True)
        assert "install" not in planned.stdout


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ({"prediction": [0.5]}, {"prediction": [0.502]}),
        ({"prediction": [0.5]}, {"prediction": [0.5, 0.5]}),
        ({"prediction": "setosa"}, {"prediction": "virginica"}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"shape": [1]}, {"shape": [2]}),
        ({"ready": True}, {"ready": 1}),
        ({"identity": "0" * 64}, {"identity": "0" * 63}),
    ],
)
def test_another_answer_than_the_one_shown_would_be_noticed(shown: Any, real: Any) -> None:
    assert same(shown, shown)
    assert not same(shown, real)
