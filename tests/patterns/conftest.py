"""A home with the models that the patterns serve, trained once."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which every model that a training makes is registered: trained once for all processes of the tests, and
    copied for each, since tests write into it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    with (shared.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            train_all(shared.with_suffix(".partly"))
            shared.with_suffix(".partly").rename(shared)
    return Path(shutil.copytree(shared, tmp_path_factory.mktemp("copied") / "home"))


def train_all(home: Path) -> None:
    from mlpatterns.training import MODELS, run

    for name in MODELS:
        run(name, home=home)


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
