"""The workers beside a worker: which of them are ready, and so whether this one takes connections while it loads."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Peers"]


class Peers:
    """The workers of one `run`, by a file for each that is ready, in a folder that they share.

    A worker that loads takes connections only while no other is ready: what it answers is worth less than an answer.

    Args:
        folder: None for a worker without others.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def ready(self) -> bool:
        """Whether another is."""
        own = str(os.getpid())
        return self._folder is not None and any(file.name != own for file in self._folder.iterdir())

    def join(self) -> None:
        """This worker is ready."""
        if self._folder is not None:
            (self._folder / str(os.getpid())).touch()

    def remove(self, worker: int) -> None:
        """The worker with this process id is gone."""
        if self._folder is not None:
            (self._folder / str(worker)).unlink(missing_ok=True)
