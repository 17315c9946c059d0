"""The files of a training's artifact folder."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.analysis.profile import profile
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.registry.files import METADATA, MODEL, dump_metadata
from mlpatterns.registry.golden import GOLDEN, Golden, chosen_rows, make_golden
from mlpatterns.registry.profiles import PROFILE
from mlpatterns.training.datasets import Dataset, DataSplit
from mlpatterns.training.declare import Options, Training
from mlpatterns.training.parity import TOLERANCE, Parity, run_onnx

__all__ = [
    "INPUT",
    "RECORD",
    "Trained",
    "contents",
    "golden_set",
    "input_of",
    "library_versions",
    "parameters",
]

INPUT, PLATFORM = "input", "onnxruntime_onnx"
RECORD = "training.json"
LIBRARIES = ("mlpatterns", "numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime")


class Trained(Struct, frozen=True):
    """A fitted estimator with its exported model, after the parity check and before it is saved."""

    training: Training
    options: Options
    data: Dataset
    split: DataSplit
    fitted: Any
    metrics: dict[str, Any]
    model: bytes
    parity: Parity

    @property
    def name(self) -> str:
        return self.training.model_name(self.options)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.model).hexdigest()


def input_of(data: Dataset) -> TensorSpec:
    """The one input of a model trained on `data`: rows with its columns."""
    return TensorSpec(INPUT, "FP32", (-1, len(data.fields)), fields=data.fields)


def contents(trained: Trained, digest: str) -> dict[str, bytes]:
    """The files of the artifact folder by name; `digest` is that of the data set."""
    data, split = trained.data, trained.split
    return {
        MODEL: trained.model,
        METADATA: dump_metadata(_metadata(trained)),
        PROFILE: _json(profile(split.x_train, data.fields, split.y_train, data.labels)),
        GOLDEN: golden_set(trained.model, data.x, INPUT).dump(),
        RECORD: _json(_record(trained, digest)),
    }


def golden_set(model: bytes, x: Array, input_name: str) -> Golden:
    """A golden set: some rows of `x` [rows, fields], and the model's answers to them."""
    chosen = chosen_rows({input_name: x}, ())
    return make_golden(chosen, run_onnx(model, chosen), TOLERANCE)


def _metadata(trained: Trained) -> ModelMetadata:
    """The metadata. Its version is the beginning of the digest, because the registry's version number is not known yet;
    the number replaces it when the metadata is read."""
    training, data = trained.training, trained.data
    sample = {INPUT: np.array([training.sample], dtype=np.float32)}
    return ModelMetadata(
        name=trained.name,
        version=trained.sha256[:12],
        platform=PLATFORM,
        inputs=(input_of(data),),
        outputs=training.outputs,
        primary_output=training.primary_output,
        labels=training.labels or data.labels,
        sample=sample,
        threshold=training.threshold,
    )


def parameters(trained: Trained) -> dict[str, Any]:
    """The options, and the text form of the estimator by scikit-learn."""
    return {**msgspec.to_builtins(trained.options), "estimator": " ".join(repr(trained.fitted).split())}


def _record(trained: Trained, digest: str) -> dict[str, Any]:
    """The contents of ``training.json``; they include no time, so that the same training gives the same bytes."""
    split = trained.split
    return {
        "training": trained.training.name,
        "model": trained.name,
        "model_sha256": trained.sha256,
        "parameters": parameters(trained),
        "metrics": trained.metrics,
        "parity": trained.parity,
        "dataset": {
            "name": trained.data.name,
            "sha256": digest,
            "train_rows": len(split.x_train),
            "test_rows": len(split.x_test),
        },
        "libraries": {"python": platform.python_version(), **library_versions(LIBRARIES)},
    }


def library_versions(names: Iterable[str]) -> dict[str, str | None]:
    """The installed versions of libraries by name; None for a library that is not installed."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
