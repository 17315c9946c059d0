"""Trains missing models for `demo`, `up` and `new`. A lock keeps two commands from training the same model.

One child process trains them all, because starting it and its libraries takes longer than most trainings.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlpatterns.cli.output import note
from mlpatterns.launch.target import registered_models
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.locate import locate
from mlpatterns.server.app import App
from mlpatterns.server.servable import PlainApp
from mlpatterns.settings import Settings
from mlpatterns.training import MODELS
from mlpatterns.user_errors import UnknownName, UserError

__all__ = ["train_missing", "unwritable"]


def train_missing(apps: Iterable[App | PlainApp], settings: Settings) -> None:
    """Trains every model that `apps` serve and that is not registered yet.

    Raises:
        UserError: a training failed, or no training makes a missing model.
    """
    served = dict.fromkeys(reference for app in apps for reference in registered_models(app))
    missing = [reference for reference in served if not _present(reference, settings)]
    if not missing:
        return
    with _lock(settings.home):  # another process may have trained some in the meantime
        names = dict.fromkeys(reference.name for reference in missing if not _present(reference, settings))
        if names:
            _train(list(names), settings)


def _present(reference: RegisteredReference, settings: Settings) -> bool:
    try:
        locate(reference, settings)
    except UnknownName:
        if reference.name not in MODELS:
            raise
        return False
    return True


def unwritable(home: Path, error: OSError) -> UserError:
    """The error about a home that cannot be written."""
    return UserError(f"{home} cannot be written: {error.strerror}; set MLPATTERNS_HOME")


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "train.lock").open("w")
    except OSError as error:
        raise unwritable(home, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"another process is training models in {home}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _train(names: list[str], settings: Settings) -> None:
    for name in names:
        note(f"{name} is not trained yet: training it (once)")
    command = [sys.executable, "-m", "mlpatterns", "train", "--no-next", *names]  # the caller does the next step itself
    environment = {
        **os.environ,
        "MLPATTERNS_HOME": str(settings.home),
        "MLPATTERNS_REGISTRY": settings.registry_url,
        "MLPATTERNS_ARTIFACTS": settings.artifacts_url,
    }
    # Its lines go to standard error, because standard output is for the result of the command.
    if subprocess.run(command, env=environment, stdout=2, check=False).returncode:  # noqa: S603 - our own command
        raise UserError(f"{' and '.join(names)} could not be trained; the lines above say why")
