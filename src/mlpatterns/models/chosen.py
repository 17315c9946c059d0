"""The model that a pattern serves: the one it was made for, or the one that the settings name."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlpatterns.errors import SettingsError
from mlpatterns.models.onnx import OnnxModel
from mlpatterns.settings import load_settings

__all__ = ["chosen_model", "read_labels"]


def chosen_model(default: str) -> OnnxModel:
    """The model of `--model` and `--labels` (or their settings), else `default`. Call it in `build()`.

    Raises:
        SettingsError: the labels' file cannot be read.
    """
    settings = load_settings().settings
    return OnnxModel(settings.model or default, labels=read_labels(settings.labels) if settings.labels else ())


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names by index, from a JSON list or a file with one a line.

    Raises:
        SettingsError: it cannot be read, or has no labels.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the labels {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if text.lstrip().startswith("["):
        try:
            labels = msgspec.json.decode(text, type=list[str])
        except msgspec.MsgspecError as error:
            raise SettingsError(f"the labels {path} are not a JSON list of strings: {error}") from error
    else:
        labels = [line.strip() for line in text.splitlines() if line.strip()]
    if not labels:
        raise SettingsError(f"the labels {path} are empty; write one label a line, or a JSON list")
    return tuple(labels)
