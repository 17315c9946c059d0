"""Training: repeatable, proven equal to what was fitted, registered. Light to import; `run` does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlpatterns.errors import UnknownName
from mlpatterns.registry.urls import default_url
from mlpatterns.training.declare import Options, Training, read_options
from mlpatterns.training.iris import SVC
from mlpatterns.training.steps import Progress, TrainingResult, train

__all__ = ["TRAININGS", "Options", "Progress", "Training", "TrainingResult", "run"]

TRAININGS: Mapping[str, Training] = MappingProxyType({training.name: training for training in (SVC,)})


def run(
    name: str,
    *,
    home: Path,
    registry_url: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    promote: bool = True,
    report: Callable[[Progress], None] = lambda _: None,
) -> TrainingResult:
    """Trains a model by name and registers it as its next version. Blocks: call it in a thread or a process.

    Args:
        home: where artifacts go, and the registry if it has no URL of its own.
        options: `test_size` (0.3) and `seed` (0); text is read as numbers.
        promote: move the alias ``champion`` to the new version.
        report: told of each step as it begins.

    Raises:
        UnknownName: no such training or option.
        UserError: a bad option, a model that lost parity, a registry or home that cannot be used.
        MissingExtra: scikit-learn, skl2onnx or SQLAlchemy is not installed.
    """
    training = TRAININGS.get(name)
    if training is None:
        raise UnknownName("training", name, TRAININGS)
    chosen = read_options(options)
    return train(training, chosen, home=home, url=registry_url or default_url(home), promote=promote, report=report)
