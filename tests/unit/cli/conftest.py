"""Commands called in process, each test with a home and an environment of its own."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from mlpatterns.cli import main


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


class Command(Protocol):
    def __call__(self, *arguments: str) -> Done: ...


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home, the current folder; flags that commands put into the environment are gone afterwards."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("MLPATTERNS_")]:
        del os.environ[name]
    os.environ["MLPATTERNS_HOME"] = str(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "home"
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def mlpatterns(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def run(*arguments: str) -> Done:
        code = main(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@contextmanager
def answering(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server of this process, which answers as `handler` does."""
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()
