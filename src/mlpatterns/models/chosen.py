"""The model that a pattern serves: the one it was made for, or the one that the settings name, as they describe it."""

from __future__ import annotations

from typing import Any

from mlpatterns.models.name_lists import read_columns, read_labels
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.settings import Settings, load_settings

__all__ = ["MODEL_OPTIONS", "chosen_model", "model_options"]

MODEL_OPTIONS = ("labels", "columns", "missing", "threshold", "sample")  # settings that say what a model is


def chosen_model(default: str) -> OnnxModel:
    """The model of `--model`, described by `--labels`, `--columns`, `--missing`, `--threshold` and `--sample` (or their
    settings), else `default`. Call it in `build()`.

    Args:
        default: reference of the model where none was chosen.

    Raises:
        SettingsError: a file that they name cannot be read.
    """
    settings = load_settings().settings
    return OnnxModel(settings.model or default, **model_options(settings))


def model_options(settings: Settings) -> dict[str, Any]:
    """The arguments of `OnnxModel` that the settings give; those alone that they set.

    Raises:
        SettingsError: a file that they name cannot be read.
    """
    options = {
        "labels": read_labels(settings.labels) if settings.labels else (),
        "columns": read_columns(settings.columns) if settings.columns else (),
        "missing": settings.missing,
        "threshold": settings.threshold,
        "sample": settings.sample,
    }
    return {name: value for name, value in options.items() if value not in ((), None)}
