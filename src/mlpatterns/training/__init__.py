"""Repeatable training, with a proof that the ONNX model equals the fitted one. This package imports quickly."""

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

# The training that makes each registered model, with its options.
MODELS: Mapping[str, tuple[Training, Mapping[str, Any]]] = MappingProxyType(
    {model: (training, options) for training in TRAININGS.values() for model, options in training.models.items()}
)

# The trainings whose steps can each be run alone.
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
        name: the name of a training, or of a model that a training makes: ``iris_binary_setosa`` is ``iris_binary``
            with `target_iris` setosa.
        home: the folder for the artifacts and the registry, if these have no URLs of their own.
        artifacts: the base URL of published artifacts: ``file:///FOLDER`` or ``s3://BUCKET/PREFIX``.
        options: `test_size` (0.3), `seed` (0) and the other options of the training; text is converted to numbers.
        promote: move the alias ``champion`` to the new version if it passes the checks: it has the same inputs,
            outputs and labels as the champion, and its evaluation is not much worse. If it fails, the version is
            registered all the same, and `refused` of the result contains the reason. The first version of a model
            always becomes its champion.
        force: promote it without the checks.
        mlflow: the URI of an MLflow tracking server, which gets the run too.
        report: called at the beginning of each step.
        registry_url: the URL of the model DB; by default SQLite in `home`.

    Raises:
        UnknownName: the training or an option does not exist.
        UserError: an option is invalid, the model lost parity, or the registry, home or server cannot be used.
        MissingExtra: a package that the training needs is not installed: scikit-learn and skl2onnx, or torch;
            SQLAlchemy.
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
    """Runs one step of a pipeline, and the earlier steps whose outputs are missing. It registers nothing.

    Raises:
        UnknownName: the pipeline, step or option does not exist.
        UserError: an option is invalid, or the data or home cannot be used.
        MissingExtra: a package that the step needs is not installed.
    """
    return _chosen_step(name, step, options)(home=home, report=report)


def check(name: str, *, step: str | None = None, options: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Checks name, step and options as `run` and `run_step` do, without training.

    Raises:
        UnknownName: the training, pipeline, step or option does not exist.
        UserError: an option is invalid.
    """
    _chosen(name, options) if step is None else _chosen_step(name, step, options)


def _chosen_step(name: str, step: str, options: Mapping[str, Any]) -> Callable[..., StepOutput]:
    """The step of the pipeline `name`, ready to run with these options."""
    pipeline = PIPELINES.get(name)
    if pipeline is None:
        raise UnknownName("pipeline", name, PIPELINES, "leave out --step for other trainings")
    pipeline.check_step(step)
    return partial(pipeline.step, step, _image_options(pipeline, options))


def _chosen(name: str, options: Mapping[str, Any]) -> Callable[..., TrainingResult]:
    """The training called `name`, ready to run with these options."""
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
