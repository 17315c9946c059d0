"""The steps of a training, from data to a registered version."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.models.files import METADATA, MODEL, dump_metadata
from mlpatterns.predictor import ModelMetadata, TensorSpec
from mlpatterns.training.datasets import Dataset, Split, dataset_digest
from mlpatterns.training.declare import Options, Training
from mlpatterns.training.golden import GOLDEN, golden_set
from mlpatterns.training.parity import Parity, compare, require, run_onnx
from mlpatterns.training.profile import profile

__all__ = ["STEPS", "Progress", "TrainingResult", "train"]

STEPS = ("open the registry", "load", "split", "fit", "evaluate", "export", "check parity", "save and register")
INPUT, PLATFORM = "input", "onnxruntime_onnx"
PROFILE, RECORD = "profile.json", "training.json"
LIBRARIES = ("mlpatterns", "numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime")


class Progress(Struct, frozen=True):
    """`step` has begun; `done` of `total` are behind. The last report has all done and the step ``"done"``."""

    step: str
    done: int
    total: int = len(STEPS)


class TrainingResult(Struct, frozen=True):
    """What a training made. `sha256` is that of the model file, `folder` holds all that was registered with it."""

    name: str
    version: int
    sha256: str
    metrics: dict[str, Any]
    parity: Parity
    dataset: str
    dataset_sha256: str
    folder: Path
    champion: bool


class Trained(Struct, frozen=True):
    """A fitted estimator, exported and proven, before it is saved."""

    training: Training
    options: Options
    data: Dataset
    split: Split
    fitted: Any
    metrics: dict[str, Any]
    model: bytes
    parity: Parity

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.model).hexdigest()


def train(
    training: Training,
    options: Options,
    *,
    home: Path,
    url: str,
    promote: bool = True,
    report: Callable[[Progress], None] = lambda _: None,
) -> TrainingResult:
    """Runs all steps; nothing is visible before the last one's commit.

    Raises:
        UserError: for options that the data does not allow, a model that lost parity, a registry that is down.
        MissingExtra: without scikit-learn, skl2onnx or SQLAlchemy.
    """
    steps = iter(enumerate(STEPS))

    def begin() -> None:
        done, step = next(steps)
        report(Progress(step, done))

    begin()
    _open(url)
    trained = _fit_and_prove(training, options, begin)
    begin()
    result = _register(trained, home=home, url=url, promote=promote)
    report(Progress("done", len(STEPS)))
    return result


def _open(url: str) -> None:
    """Makes the tables, so that a registry that is down is known before the work and not after it."""
    from mlpatterns.registry.upgrade import upgrade

    upgrade(url).dispose()


def _fit_and_prove(training: Training, options: Options, begin: Callable[[], None]) -> Trained:
    begin()
    data = training.load()
    begin()
    split = training.split(data, options)
    begin()
    fitted = training.estimator(options.seed).fit(split.x_train, split.y_train)
    begin()
    answers = training.answers(fitted, split.x_test)
    metrics = training.metrics(split.y_test, answers, data.labels)
    begin()
    model = training.export(fitted, _input(data), training.outputs, name=training.name)
    begin()
    parity = compare(answers, run_onnx(model, {INPUT: split.x_test}))
    require(parity)
    return Trained(training, options, data, split, fitted, metrics, model, parity)


def _input(data: Dataset) -> TensorSpec:
    return TensorSpec(INPUT, "FP32", (-1, len(data.fields)), fields=data.fields)


def _register(trained: Trained, *, home: Path, url: str, promote: bool) -> TrainingResult:
    from mlpatterns.registry.register import Entry, register

    training, split, digest = trained.training, trained.split, dataset_digest(trained.data)
    entry = Entry(
        model=training.name,
        files=_files(trained, digest),
        sha256=trained.sha256,
        project=training.project,
        description=training.description,
        parameters=_parameters(trained),
        evaluations=trained.metrics,
        training_dataset=f"{len(split.x_train)} rows of {trained.data.name} sha256:{digest}",
        test_dataset=f"{len(split.x_test)} rows of {trained.data.name} sha256:{digest}",
    )
    made = register(entry, home=home, url=url, promote=promote)
    return TrainingResult(
        made.name, made.version, trained.sha256, trained.metrics, trained.parity, trained.data.name, digest,
        made.folder, made.champion,
    )  # fmt: skip


# ---- what is saved -----------------------------------------------------------------------------------------------


def _files(trained: Trained, digest: str) -> dict[str, bytes]:
    data, split = trained.data, trained.split
    return {
        MODEL: trained.model,
        METADATA: dump_metadata(_metadata(trained)),
        PROFILE: _json(profile(split.x_train, data.fields, split.y_train, data.labels)),
        GOLDEN: golden_set(trained.model, data.x, INPUT).dump(),
        RECORD: _json(_record(trained, digest)),
    }


def _metadata(trained: Trained) -> ModelMetadata:
    """The version is the digest's beginning: the registry's number is not known yet, and is put in when it is read."""
    training, data = trained.training, trained.data
    sample = {INPUT: np.array([training.sample], dtype=np.float32)}
    return ModelMetadata(
        name=training.name,
        version=trained.sha256[:12],
        platform=PLATFORM,
        inputs=(_input(data),),
        outputs=training.outputs,
        primary_output=training.primary_output,
        labels=data.labels,
        sample=sample,
    )


def _parameters(trained: Trained) -> dict[str, Any]:
    return {**msgspec.to_builtins(trained.options), "estimator": " ".join(repr(trained.fitted).split())}


def _record(trained: Trained, digest: str) -> dict[str, Any]:
    """``training.json``: no time of day in it, so that the same training gives the same bytes."""
    split = trained.split
    return {
        "training": trained.training.name,
        "model_sha256": trained.sha256,
        "parameters": _parameters(trained),
        "metrics": trained.metrics,
        "parity": trained.parity,
        "dataset": {
            "name": trained.data.name,
            "sha256": digest,
            "train_rows": len(split.x_train),
            "test_rows": len(split.x_test),
        },
        "libraries": {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
