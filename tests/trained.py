"""A home with the models that the patterns serve; each is trained once, by the first process that needs it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["trained_home"]


def trained_home(factory: pytest.TempPathFactory) -> Path:
    """A home in which the models of all trainings are registered. They are trained once for all test processes, and the
    home is copied for each caller, because tests write to it."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    _train_all(shared)
    return Path(shutil.copytree(shared / "home", factory.mktemp("copied") / "home"))


def _train_all(shared: Path) -> None:
    """Trains every model that no other process has trained or is training, then waits for those that are."""
    from mlpatterns.training import MODELS, run

    (shared / "home").mkdir(parents=True, exist_ok=True)
    for waiting in (False, True):
        for name in MODELS:
            with _locked(shared / f"{name}.lock", waiting) as ours:
                if ours and not (shared / f"{name}.done").exists():
                    run(name, home=shared / "home")
                    (shared / f"{name}.done").touch()


@contextmanager
def _locked(file: Path, waiting: bool) -> Iterator[bool]:
    """Whether this process holds the lock; always true if `waiting`."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if waiting else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
