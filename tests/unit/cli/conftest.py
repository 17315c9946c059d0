"""Commands called in process, each test with a home and an environment of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
