"""Models of an app's folder that it does not serve stay out of its image."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from mlpatterns.registry.weights import weight_names
from mlpatterns.scaffold.models import files_of
from mlpatterns.scaffold.source import MODELS
from mlpatterns.user_errors import ModelFileError

__all__ = ["remove_unserved"]

SEARCHES = re.compile(r"glob|iterdir|listdir|scandir|os\.walk")  # code that may open files by no name


def remove_unserved(app: Path, served: Collection[Path]) -> None:
    """Removes the models in the folder ``models`` of `app` that it does not serve, with the files that belong to them.

    A model stays if the app's own code may open it: if its name occurs in a Python file, or one searches folders.

    Args:
        app: a copy of the app's folder.
        served: the files of the models that it serves.
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
    except ModelFileError:  # it is damaged, or its weights are missing
        return [model]
