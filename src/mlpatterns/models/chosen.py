"""The model that a pattern serves: its default model, or the model that the settings name and describe."""

from __future__ import annotations

from typing import Any

from mlpatterns.models.name_lists import read_columns, read_labels
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.settings import Settings, load_settings

__all__ = ["MODEL_OPTIONS", "chosen_model", "model_options"]

MODEL_OPTIONS = ("labels", "columns", "missing", "threshold", "sample")  # settings that describe a model


def chosen_model(default: str) -> OnnxModel:
    """The model that `--model` names, or `default`. `--labels`, `--columns`, `--missing`, `--threshold` and `--sample`
    (or their settings) describe it. Call this function in `build()`.

    Args:
        default: reference of the model if the user chose none.

    Raises:
        SettingsError: a file that the settings name cannot be read.
    """
    settings = load_settings().settings
    return OnnxModel(settings.model or default, **model_options(settings))


def model_options(settings: Settings) -> dict[str, Any]:
    """The arguments of `OnnxModel` that the settings give. Settings that have no value are left out.

    Raises:
        SettingsError: a file that the settings name cannot be read.
    """
    options = {
        "labels": read_labels(settings.labels) if settings.labels else (),
        "columns": read_columns(settings.columns) if settings.columns else (),
        "missing": settings.missing,
        "threshold": settings.threshold,
        "sample": settings.sample,
    }
    return {name: value for name, value in options.items() if value not in ((), None)}
