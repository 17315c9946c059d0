"""Removes models that an app does not serve from its image."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from mlpatterns.registry.weights import weight_names
from mlpatterns.scaffold.models import files_of
from mlpatterns.scaffold.source import MODELS
from mlpatterns.user_errors import ModelFileError

__all__ = ["remove_unserved"]

SEARCHES = re.compile(r"glob|iterdir|listdir|scandir|os\.walk")  # code that may find files without naming them


def remove_unserved(app: Path, served: Collection[Path]) -> None:
    """Removes the unserved models from the folder ``models`` of `app`, with the files that belong to them.

    A model is kept if the app's code may open it: if its name occurs in a Python file, or a Python file searches
    folders.

    Args:
        app: a copy of the app's folder.
        served: the files of the models that the app serves.
    """
    code = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(app.rglob("*.py")))
    if SEARCHES.search(code):
        return
    models = sorted((app / MODELS).rglob("*.onnx"))
    kept = {path.resolve() for path in served}
    unserved = [path for path in models if path.resolve() not in kept and path.stem not in code]
    left = {path.resolve().parent / name for path in models if path not in unserved for name in weight_names(path)}
    for path in unserved:
        for file in _belonging(path):
            if file.resolve() not in left:
                file.unlink(missing_ok=True)


def _belonging(model: Path) -> list[Path]:
    try:
        return [model.parent / name for name in files_of(model)]
    except ModelFileError:  # the model is damaged, or its weights are missing
        return [model]
