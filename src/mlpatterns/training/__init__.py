"""Training: repeatable, proven equal to what was fitted, registered. Light to import; `run` does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlpatterns.errors import UnknownName, UserError
from mlpatterns.registry.urls import default_url
from mlpatterns.training.declare import Options, Training, read_options
from mlpatterns.training.iris import BINARY, FOREST, OUTLIER, SVC
from mlpatterns.training.steps import Progress, TrainingResult, train

__all__ = ["MODELS", "TRAININGS", "Options", "Progress", "Training", "TrainingResult", "run"]

TRAININGS: Mapping[str, Training] = MappingProxyType({one.name: one for one in (SVC, FOREST, OUTLIER, BINARY)})

# What each registered model is made by: a training, with these options.
MODELS: Mapping[str, tuple[Training, Mapping[str, Any]]] = MappingProxyType(
    {model: (training, options) for training in TRAININGS.values() for model, options in training.models.items()}
)


def run(
    name: str,
    *,
    home: Path,
    registry_url: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    promote: bool = True,
    report: Callable[[Progress], None] = lambda _: None,
) -> TrainingResult:
    """Trains a model and registers it as its next version. Blocks: call it in a thread or a process.

    Args:
        name: of a training, or of a model that one makes: ``iris_binary_setosa`` is ``iris_binary`` with
            `target_iris` setosa.
        home: where artifacts go, and the registry if it has no URL of its own.
        options: `test_size` (0.3), `seed` (0) and what the training has beside them; text is read as numbers.
        promote: move the alias ``champion`` to the new version.
        report: told of each step as it begins.

    Raises:
        UnknownName: no such training or option.
        UserError: a bad option, a model that lost parity, a registry or home that cannot be used.
        MissingExtra: scikit-learn, skl2onnx or SQLAlchemy is not installed.
    """
    training, own = _named(name)
    for option, value in own.items():
        if options.get(option, value) != value:
            raise UserError(f"{name} is made with {option} {value}; train {training.name} to choose another")
    chosen = read_options(training, {**options, **own})
    return train(training, chosen, home=home, url=registry_url or default_url(home), promote=promote, report=report)


def _named(name: str) -> tuple[Training, Mapping[str, Any]]:
    if name in TRAININGS:
        return TRAININGS[name], {}
    if name not in MODELS:
        raise UnknownName("training", name, {*TRAININGS, *MODELS})
    return MODELS[name]
