"""Training what is missing, for `demo` and `up`: in another process, under a lock, so that two of them train once."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlpatterns.catalog import get
from mlpatterns.cli.output import note
from mlpatterns.errors import UnknownName, UserError
from mlpatterns.launch.target import registered_models
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.locate import locate
from mlpatterns.server.app import App
from mlpatterns.settings import Settings

__all__ = ["train_missing"]


def train_missing(apps: Iterable[App], settings: Settings) -> None:
    """Trains every model that `apps` serve, that a system of the catalogue makes, and that is not registered.

    Raises:
        UserError: a training failed, or a model is missing that no training makes.
    """
    for reference in dict.fromkeys(reference for app in apps for reference in registered_models(app)):
        if _present(reference, settings):
            continue
        with _lock(settings.home):
            if not _present(reference, settings):  # another process may have trained it while we waited
                _train(reference.name, settings)


def _present(reference: RegisteredReference, settings: Settings) -> bool:
    try:
        locate(reference, home=settings.home, url=settings.registry_url)
    except UnknownName:
        if not _trainable(reference.name):
            raise
        return False
    return True


def _trainable(name: str) -> bool:
    try:
        system = get(name)
    except UnknownName:
        return False
    return system.built and system.header.group == "training"


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "train.lock").open("w")
    except OSError as error:
        raise UserError(f"{home} cannot be written: {error.strerror}; set MLPATTERNS_HOME") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _train(name: str, settings: Settings) -> None:
    note(f"{name} is not trained yet: training it (once)")
    command = [sys.executable, "-m", "mlpatterns", "train", name]
    environment = {**os.environ, "MLPATTERNS_HOME": str(settings.home), "MLPATTERNS_REGISTRY": settings.registry_url}
    # Its lines go to standard error: standard output is for what was asked for.
    if subprocess.run(command, env=environment, stdout=2, check=False).returncode:  # noqa: S603 - our own command
        raise UserError(f"{name} could not be trained; the lines above say why")
