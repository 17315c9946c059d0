"""Detects changes of the files that a target is made of, for `run --reload`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mlpatterns.registry.weights import weight_names

__all__ = ["FileWatcher"]

SUFFIXES = (".py", ".onnx", ".toml", ".metadata.json")


class FileWatcher:
    """Watches the sources, models and metadata files in the folders of the targets, and the external weights of models.

    Args:
        targets: files, with or without an attribute: ``app.py:app``.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        files = [Path(target.rpartition(":")[0] or target) for target in targets]
        self._folders = sorted({file.parent for file in files})
        self._weights = [file.parent / name for file in files if file.suffix == ".onnx" for name in weight_names(file)]
        self._files = dict(self._seen())

    def changed(self) -> bool:
        """Whether a file changed since the last call, or since this object was made."""
        before, self._files = self._files, dict(self._seen())
        return before != self._files

    def _seen(self) -> Iterator[tuple[Path, float]]:
        for folder in self._folders:
            yield from _times(sorted(_watched(folder)))
        yield from _times(self._weights)


def _watched(folder: Path) -> Iterator[Path]:
    """The files below a folder that are watched. Hidden folders are not entered, nor is one that was just removed."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if name.endswith(SUFFIXES) and not name.startswith("."))


def _times(paths: Iterable[Path]) -> Iterator[tuple[Path, float]]:
    """When each file was changed; without those that do not exist, as while another program rewrites them."""
    for path in paths:
        with suppress(OSError):
            yield path, path.stat().st_mtime
