"""Registers the model of a finished pipeline: its files and its experiment."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.registry.files import METADATA, MODEL, dump_metadata
from mlpatterns.registry.golden import GOLDEN
from mlpatterns.settings import Settings, cpus
from mlpatterns.training.cifar10.build import INPUT, INT8, OUTPUT, load_built
from mlpatterns.training.cifar10.fit import HISTORY
from mlpatterns.training.cifar10.measure import ServedScores, load_evaluated
from mlpatterns.training.cifar10.options import ImageOptions
from mlpatterns.training.cifar10.prepared import DatasetDescription, describe, load_images
from mlpatterns.training.cifar10.published import SIDE
from mlpatterns.training.contents import PLATFORM, RECORD, golden_set, library_versions
from mlpatterns.training.step_cache import StepOutput
from mlpatterns.training.steps import TrainingResult

__all__ = ["register_outputs"]

LIBRARIES = ("mlpatterns", "numpy", "torch", "onnx", "onnxruntime")
GOLDEN_ROWS = 240  # test images from which the golden set is chosen


def register_outputs(
    name: str,
    options: ImageOptions,
    outputs: Mapping[str, StepOutput],
    *,
    description: str,
    settings: Settings,
    promote: bool,
    force: bool,
) -> TrainingResult:
    """Registers the model as its next version; `outputs` are the outputs by step."""
    from mlpatterns.model_db.register import Registration, register

    folders = {step: output.folder for step, output in outputs.items()}
    data, dataset_sha256 = describe(folders["preprocess"]), outputs["preprocess"].digest
    parameters, metrics = _parameters(options, data), _metrics(folders, len(data.labels))
    files = _files(name, folders, data, dataset_sha256, parameters)
    entry = Registration(
        model=name,
        files=files,
        description=description,
        parameters=parameters,
        evaluations=metrics,
        training_dataset=f"{data.train_images} images of {data.name} sha256:{dataset_sha256}",
        test_dataset=f"{data.test_images} images of {data.name} sha256:{dataset_sha256}",
    )
    made = register(entry, settings, promote=promote, force=force)
    parity = load_built(folders["build"]).parity
    return TrainingResult(
        made.name, made.version, entry.sha256, metrics, parity, data.name, dataset_sha256,
        made.folder, made.champion, made.released, made.behind, made.refused,
    )  # fmt: skip


def _files(
    name: str, folders: Mapping[str, Path], data: DatasetDescription, dataset_sha256: str, parameters: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files of the artifact folder by name. None contains a time, so that equal trainings give equal bytes."""
    model, small = ((folders["build"] / file).read_bytes() for file in (MODEL, INT8))
    sha256 = hashlib.sha256(model).hexdigest()
    test = load_images(folders["preprocess"], "test").images[:GOLDEN_ROWS].astype(np.float32)
    record = {
        "training": name,
        "model": name,
        "model_sha256": sha256,
        "parameters": parameters,
        "dataset": {"sha256": dataset_sha256, **msgspec.to_builtins(data)},
        "libraries": {"python": platform.python_version(), **library_versions(LIBRARIES)},
    }
    return {
        MODEL: model,
        INT8: small,
        METADATA: dump_metadata(_metadata(name, sha256, data, test[:1])),
        GOLDEN: golden_set(model, test, INPUT).dump(),
        RECORD: msgspec.json.format(msgspec.json.encode(record), indent=2),
    }


def _parameters(options: ImageOptions, data: DatasetDescription) -> dict[str, Any]:
    """The options that determine the model. The location of the archive is left out; the data includes its MD5."""
    chosen = msgspec.to_builtins(options)
    for name in ("data", "num_workers", *(() if options.synthetic else ("images", "test_images"))):
        del chosen[name]
    threads = options.threads or cpus()
    return {**chosen, "width": options.channels, "threads": threads, "archive_md5": data.archive_md5}


def _metrics(folders: Mapping[str, Path], classes: int) -> dict[str, Any]:
    """The metrics on the test images: of the model file, of the quantised file, of both when served, of each epoch."""
    built, served = load_built(folders["build"]), load_evaluated(folders["evaluate"])
    scores: dict[str, Any] = msgspec.to_builtins(built.float32.scores)
    if classes > 10:
        del scores["confusion"]  # ten thousand numbers for a hundred classes
    return {
        **scores,
        "int8_accuracy": built.int8.scores.accuracy,
        "size_bytes": built.float32.bytes,
        "int8_size_bytes": built.int8.bytes,
        **_named("served", served.float32),
        **_named("int8_served", served.int8),
        "epochs": msgspec.json.decode((folders["train"] / HISTORY).read_bytes()),
    }


def _named(prefix: str, served: ServedScores) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in msgspec.to_builtins(served).items()}


def _metadata(name: str, sha256: str, data: DatasetDescription, sample: Any) -> ModelMetadata:
    return ModelMetadata(
        name=name,
        version=sha256[:12],
        platform=PLATFORM,
        inputs=(TensorSpec(INPUT, "FP32", (-1, 3, SIDE, SIDE)),),
        outputs=(TensorSpec(OUTPUT, "FP32", (-1, len(data.labels))),),
        primary_output=OUTPUT,
        labels=data.labels,
        sample={INPUT: sample},
    )
