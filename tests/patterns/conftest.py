"""The home in which the demos of patterns run, and what they find in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import trained


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.trained_home(tmp_path_factory)


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of whoever runs the tests reaches them; an empty home unless a test takes another."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("MLPATTERNS_")]:
        del os.environ[name]
    os.environ["MLPATTERNS_HOME"] = str(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.clear()
    os.environ.update(before)
