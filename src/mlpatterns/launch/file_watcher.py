"""Detects changes of the files that a target is made of, for `run --reload`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
            for path in sorted(folder.rglob("*")):
                hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
                if path.name.endswith(SUFFIXES) and not hidden and path.is_file():
                    yield path, path.stat().st_mtime
        for path in self._weights:
            with suppress(OSError):  # another program is rewriting it
                yield path, path.stat().st_mtime
