"""The steps of a training, from data to a registered version."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlpatterns.settings import Settings
from mlpatterns.training.contents import INPUT, Trained, contents, input_of, parameters
from mlpatterns.training.datasets import DataSplit, dataset_digest
from mlpatterns.training.declare import Options, Training
from mlpatterns.training.parity import Parity, compare, require, run_onnx

__all__ = ["STEPS", "Progress", "TrainingResult", "open_registry", "train"]

STEPS = ("open the registry", "load", "split", "fit", "evaluate", "export", "check parity", "save and register")


class Progress(Struct, frozen=True):
    """`step` has begun; `done` of `total` steps are finished. In the last report all are, and the step is ``"done"``.

    A long step reports repeatedly: the finished `share` of it, and sometimes a `line` of text for the user.
    """

    step: str
    done: int
    total: int = len(STEPS)
    share: float = 0.0
    line: str = ""


class TrainingResult(Struct, frozen=True):
    """The result of a training. `sha256` is that of the model file, and `folder` contains all registered files.
    `champion`, `released`, `behind` and `refused` are those of the RegisteredVersion."""

    name: str
    version: int
    sha256: str
    metrics: dict[str, Any]
    parity: Parity
    dataset: str
    dataset_sha256: str
    folder: Path
    champion: bool
    released: int | None = None
    behind: str = ""
    refused: str = ""


def train(
    training: Training,
    options: Options,
    settings: Settings,
    *,
    promote: bool = False,
    force: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
) -> TrainingResult:
    """Runs all steps; the model becomes visible with the commit of the last step.

    Raises:
        UserError: the data does not allow the options, the model lost parity, or the registry is down.
        MissingExtra: scikit-learn, skl2onnx or SQLAlchemy is not installed.
    """
    steps = iter(enumerate(STEPS))

    def begin() -> None:
        done, step = next(steps)
        report(Progress(step, done))

    begin()
    open_registry(settings)
    trained = _fit_and_prove(training, options, begin)
    begin()
    result = _register(trained, settings, promote=promote, force=force)
    report(Progress("done", len(STEPS)))
    return result


def open_registry(settings: Settings) -> None:
    """Creates the tables of the registry before the training, so that it fails at once if the registry is down."""
    from mlpatterns.model_db.upgrade import upgrade

    upgrade(settings.registry_url).dispose()


def _fit_and_prove(training: Training, options: Options, begin: Callable[[], None]) -> Trained:
    begin()
    data = training.adapt(training.load(), options)
    begin()
    split = training.split(data, options)
    begin()
    fitted = _fitted(training, options, split)
    begin()
    metrics = training.metrics(partial(training.answers, fitted), data, split)
    begin()
    model = training.export(fitted, input_of(data), training.outputs, name=training.model_name(options))
    begin()
    answers = training.answers(fitted, split.x_test)
    parity = compare(answers, run_onnx(model, {INPUT: split.x_test}), training.margin(answers))
    require(parity)
    return Trained(training, options, data, split, fitted, metrics, model, parity)


def _fitted(training: Training, options: Options, split: DataSplit) -> Any:
    """The estimator, fitted in one thread, because the division of a sum among threads affects its last digits."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    with threadpool_limits(limits=1):
        return training.estimator(options.seed).fit(split.x_train, split.y_train)


def _register(trained: Trained, settings: Settings, *, promote: bool, force: bool) -> TrainingResult:
    from mlpatterns.model_db.register import Registration, register

    training, split, digest = trained.training, trained.split, dataset_digest(trained.data)
    entry = Registration(
        model=trained.name,
        files=contents(trained, digest),
        description=training.description,
        parameters=parameters(trained),
        evaluations=trained.metrics,
        training_dataset=f"{len(split.x_train)} rows of {trained.data.name} sha256:{digest}",
        test_dataset=f"{len(split.x_test)} rows of {trained.data.name} sha256:{digest}",
    )
    made = register(entry, settings, promote=promote, force=force)
    return TrainingResult(
        made.name, made.version, entry.sha256, trained.metrics, trained.parity, trained.data.name, digest,
        made.folder, made.champion, made.released, made.behind, made.refused,
    )  # fmt: skip
