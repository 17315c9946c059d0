"""The files that what is served is made of, looked at for changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mlpatterns.registry.weights import weight_names

__all__ = ["Watched"]

SUFFIXES = (".py", ".onnx", ".toml", ".metadata.json")


class Watched:
    """Sources, models and what describes them below the folders of targets, and the weights that models keep in other
    files.

    Args:
        targets: files, each perhaps with an attribute: ``app.py:app``.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        files = [Path(target.rpartition(":")[0] or target) for target in targets]
        self._folders = sorted({file.parent for file in files})
        self._weights = [file.parent / name for file in files if file.suffix == ".onnx" for name in weight_names(file)]
        self._files = dict(self._seen())

    def changed(self) -> bool:
        """Whether anything did since the last call, or since it was made."""
        before, self._files = self._files, dict(self._seen())
        return before != self._files

    def _seen(self) -> Iterator[tuple[Path, float]]:
        for folder in self._folders:
            for path in sorted(folder.rglob("*")):
                hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
                if path.name.endswith(SUFFIXES) and not hidden and path.is_file():
                    yield path, path.stat().st_mtime
        for path in self._weights:
            with suppress(OSError):  # it is about to be written anew
                yield path, path.stat().st_mtime
