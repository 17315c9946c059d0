"""Training: repeatable, with a proof that the ONNX model equals the fitted one. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlpatterns.settings import Settings
from mlpatterns.training.cifar10.options import ImageOptions
from mlpatterns.training.cifar10.pipeline import CIFAR10, ImageTraining
from mlpatterns.training.declare import Options, Training, convert_options, read_options
from mlpatterns.training.digits import ACCURATE, FAST, HALVES
from mlpatterns.training.iris import BINARY, FOREST, OUTLIER, SVC
from mlpatterns.training.step_cache import StepOutput
from mlpatterns.training.steps import Progress, TrainingResult, train
from mlpatterns.training.tracking import tracked
from mlpatterns.user_errors import UnknownName, WrongUse

__all__ = [
    "MODELS",
    "PIPELINES",
    "TRAININGS",
    "Options",
    "Progress",
    "StepOutput",
    "Training",
    "TrainingResult",
    "check",
    "run",
    "run_step",
]

TRAININGS: Mapping[str, Training] = MappingProxyType(
    {one.name: one for one in (SVC, FOREST, OUTLIER, BINARY, FAST, ACCURATE, HALVES)}
)

# What each registered model is made by: a training, with these options.
MODELS: Mapping[str, tuple[Training, Mapping[str, Any]]] = MappingProxyType(
    {model: (training, options) for training in TRAININGS.values() for model, options in training.models.items()}
)

# What is trained in steps that each can be run alone.
PIPELINES: Mapping[str, ImageTraining] = MappingProxyType({CIFAR10.name: CIFAR10})


def run(
    name: str,
    *,
    home: Path,
    registry_url: str | None = None,
    artifacts: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    promote: bool = False,
    force: bool = False,
    mlflow: str | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> TrainingResult:
    """Trains a model and registers it as its next version. Blocks: call it in a thread or a process.

    Args:
        name: of a training, or of a model that one makes: ``iris_binary_setosa`` is ``iris_binary`` with
            `target_iris` setosa.
        home: where artifacts go, and the registry, if they have no URLs of their own.
        artifacts: the URL that they are published below: ``file:///FOLDER`` or ``s3://BUCKET/PREFIX``.
        options: `test_size` (0.3), `seed` (0) and what the training has beside them; text is read as numbers.
        promote: move the alias ``champion`` to the new version, if it passes the checks: the same inputs, outputs and
            labels as the champion, and no far worse evaluation. If it does not, `refused` of the result says why, and
            the version is registered all the same. A model's first version is its champion anyway.
        force: promote it unchecked.
        mlflow: the URI of an MLflow tracking server that gets the run too.
        report: called with each step as it begins.
        registry_url: of the model DB; by default SQLite in `home`.

    Raises:
        UnknownName: no such training or option.
        UserError: a bad option, a model that lost parity, a registry, home or server that cannot be used.
        MissingExtra: what the training needs is not installed: scikit-learn and skl2onnx, or torch; SQLAlchemy.
    """
    work = _chosen(name, options)
    with tracked(mlflow, name) as track:
        settings = Settings(home=home, registry=registry_url, artifacts=artifacts)
        result = work(settings, promote=promote, force=force, report=report)
        track(result)
    return result


def run_step(
    name: str,
    step: str,
    *,
    home: Path,
    options: Mapping[str, Any] = MappingProxyType({}),
    report: Callable[[Progress], None] = lambda _: None,
) -> StepOutput:
    """Runs one step of a pipeline, and of those before it what is missing; registers nothing.

    Raises:
        UnknownName: no such pipeline, step or option.
        UserError: a bad option, data or home that cannot be used.
        MissingExtra: what the step needs is not installed.
    """
    return _chosen_step(name, step, options)(home=home, report=report)


def check(name: str, *, step: str | None = None, options: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Raises what `run`, or `run_step`, would raise of name, step and options; does nothing.

    Raises:
        UnknownName: no such training, pipeline, step or option.
        UserError: a bad option.
    """
    _chosen(name, options) if step is None else _chosen_step(name, step, options)


def _chosen_step(name: str, step: str, options: Mapping[str, Any]) -> Callable[..., StepOutput]:
    """The step of that pipeline with these options, ready to be run."""
    pipeline = PIPELINES.get(name)
    if pipeline is None:
        raise UnknownName("pipeline", name, PIPELINES, "leave out --step for other trainings")
    pipeline.check_step(step)
    return partial(pipeline.step, step, _image_options(pipeline, options))


def _chosen(name: str, options: Mapping[str, Any]) -> Callable[..., TrainingResult]:
    """The training of that name with these options, ready to be run."""
    if name in PIPELINES:
        return partial(PIPELINES[name].train, _image_options(PIPELINES[name], options))
    training, own = _named(name)
    for option, value in own.items():
        if options.get(option, value) != value:
            raise WrongUse(f"{name} is made with {option} {value}; train {training.name} to choose another")
    return partial(train, training, read_options(training, {**options, **own}))


def _image_options(pipeline: ImageTraining, values: Mapping[str, Any]) -> ImageOptions:
    options = convert_options(pipeline.name, ImageOptions, values)
    options.check()
    return options


def _named(name: str) -> tuple[Training, Mapping[str, Any]]:
    if name in TRAININGS:
        return TRAININGS[name], {}
    if name not in MODELS:
        raise UnknownName("training", name, {*TRAININGS, *MODELS, *PIPELINES})
    return MODELS[name]
