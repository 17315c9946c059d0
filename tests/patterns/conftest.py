"""A home with the models that the patterns serve, each trained once by whichever process comes first."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which every model that a training makes is registered: trained once for all processes of the tests, and
    copied for each, since tests write into it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    train_all(shared)
    return Path(shutil.copytree(shared / "home", tmp_path_factory.mktemp("copied") / "home"))


def train_all(shared: Path) -> None:
    """Trains every model that no other process has trained or is training, then waits for those that are."""
    from mlpatterns.training import MODELS, run

    (shared / "home").mkdir(parents=True, exist_ok=True)
    for waiting in (False, True):
        for name in MODELS:
            with locked(shared / f"{name}.lock", waiting) as ours:
                if ours and not (shared / f"{name}.done").exists():
                    run(name, home=shared / "home")
                    (shared / f"{name}.done").touch()


@contextmanager
def locked(file: Path, waiting: bool) -> Iterator[bool]:
    """Whether the lock is ours; always, if we wait for it."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if waiting else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


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
