"""`mlpatterns.export`: writes a fitted model as an ONNX file that gives the same answers and holds its metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.durable import write_whole
from mlpatterns.exporting.boosters import LIBRARIES, booster_source, library_of
from mlpatterns.exporting.estimators import estimator_source
from mlpatterns.exporting.graph import embed
from mlpatterns.exporting.networks import network_source
from mlpatterns.exporting.proof import Proven, proven
from mlpatterns.exporting.sample import read_sample
from mlpatterns.exporting.source import ExportSource
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec, datatype_of
from mlpatterns.training.parity import TOLERANCE, Parity
from mlpatterns.user_errors import UserError

__all__ = ["Exported", "export"]

PLATFORM = "onnxruntime_onnx"
ELSEWHERE = {  # packages that have their own ONNX export
    "catboost": 'its save_model(path, format="onnx")',
    "keras": 'its export(path, format="onnx")',
    "tensorflow": 'Keras\'s export(path, format="onnx")',
}


class Exported(Struct, frozen=True):
    """The result of an export.

    Attributes:
        path: of the file.
        kind: the kind of model, such as ``RandomForestClassifier``.
        sha256: of the file, in hex.
        metadata: embedded in the file under ``mlpatterns.metadata``.
        parity: how closely the graph matches the model; checked before the file was written.
    """

    path: Path
    sha256: str
    kind: str
    metadata: ModelMetadata
    parity: Parity

    def __str__(self) -> str:
        rows = f"{self.parity.rows} row{'s' if self.parity.rows != 1 else ''}"
        return (
            f"{self.path}: {self.kind} answers the same in ONNX: {rows}, largest difference "
            f"{self.parity.max_difference:.2g} (at most {self.parity.tolerance:g})"
        )


def export(
    model: Any,
    path: str | Path,
    sample: Any,
    *,
    labels: Sequence[str] = (),
    columns: Sequence[str] = (),
    threshold: float | None = None,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Writes a fitted model as an ONNX file, after a check that both give the same answers to the sample. Prints one
    line.

    The model is a scikit-learn estimator or pipeline, a LightGBM or XGBoost model, or a torch module. The file also
    holds the names of columns and classes, the columns that may miss values, and a row of the sample, so
    `mlpatterns run` needs no other file.

    Args:
        model: the fitted model.
        path: of the file; an existing file is replaced.
        sample: rows that the model can predict: a numpy array, a list of rows, a DataFrame, a dict of columns or a
            torch tensor; for a module with several inputs, a tuple, or a dict by argument. An array, or a table of
            numbers, becomes one input ``input``, FP32 [rows, n]; in another table, each column becomes an input of its
            own type. A column with NaN accepts null when it is served.
        labels: class names by index, for a model that has no class names, or only numbers.
        columns: column names by index, for a sample that has none.
        threshold: the threshold of a single score for two labels; above it, the second label is predicted.
        tolerance: the largest allowed difference of an output value; relative for values above 1.

    Raises:
        MissingExtra: a converter is not installed.
        UserError: the model cannot be converted, does not take the sample, or its graph gives other answers. Then no
            file is written.
    """
    if isinstance(labels, str) or isinstance(columns, str):
        raise UserError("labels and columns are lists of names, not one text")
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}; make it first")
    source = _labelled(_source(model, sample), tuple(map(str, labels)), threshold)
    found = proven(source, tolerance)
    _refuse_untyped(found.inputs, source)
    metadata = _metadata(path.stem, source, found, tuple(map(str, columns)))
    content = embed(found.model, metadata)
    _write(path, content)
    exported = Exported(path, hashlib.sha256(content).hexdigest(), source.kind, metadata, found.parity)
    print(exported)  # noqa: T201
    return exported


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def _refuse_untyped(inputs: Iterable[str], source: ExportSource) -> None:
    for name in inputs:
        if name in source.untyped:
            raise UserError(f"the column {name!r} is of {source.untyped[name]}, which ONNX has no type for; make "
                            "numbers or text of it before the model is fitted")  # fmt: skip


def _source(model: Any, sample: Any) -> ExportSource:
    if isinstance(model, type):
        raise UserError(f"{model.__name__} is a class; give a fitted model, not its class")
    if any(f"{base.__module__}.{base.__name__}" == "torch.nn.modules.module.Module" for base in type(model).__mro__):
        return network_source(model, sample)
    if library_of(model) in LIBRARIES and type(model).__name__ == "Booster":
        return booster_source(model, read_sample(sample))
    if hasattr(model, "get_params") and hasattr(model, "fit") and library_of(model) not in ELSEWHERE:
        return estimator_source(model, read_sample(sample))
    if isinstance(model, (str, bytes, Path)):
        raise UserError("give the fitted model itself, not the file that it is in")
    hint = ELSEWHERE.get(library_of(model))
    raise UserError(
        f"{type(model).__name__} cannot be exported; "
        + (f"use {hint}" if hint else "give a model of scikit-learn, LightGBM, XGBoost or torch itself, or serve it by "
           "a PythonModel")
    )  # fmt: skip


def _labelled(source: ExportSource, labels: tuple[str, ...], threshold: float | None) -> ExportSource:
    """`source` with the labels and the threshold of the user, if they fit its scores."""
    if threshold is not None:
        source = replace(source, threshold=threshold)
    if not labels:
        return source
    own = source.labels
    if own and len(own) != len(labels):
        raise UserError(f"the number of labels is {len(labels)}, but the model has the classes {', '.join(own)}")
    texts = any(value.dtype.kind == "O" for value in source.expected.values())
    if own and own != labels and texts:
        raise UserError(f"the labels contradict the model's own classes {', '.join(own)}; leave them out")
    scores = source.expected[source.primary]
    if not own and (scores.ndim != 2 or scores.shape[1] not in (len(labels), 1) or scores.dtype.kind != "f"):
        raise UserError(f"the number of labels is {len(labels)}, but {source.primary!r} has the shape [rows"
                        f"{''.join(f', {size}' for size in scores.shape[1:])}]")  # fmt: skip
    if scores.shape[1] == 1 and (len(labels) != 2 or source.threshold is None):
        raise UserError("one score needs two labels and threshold=: a score above it means the second label")
    return replace(source, labels=labels)


def _metadata(name: str, source: ExportSource, found: Proven, columns: tuple[str, ...]) -> ModelMetadata:
    fields = columns or found.fields
    specs = tuple(_spec(key, value, fields if len(found.inputs) == 1 else ()) for key, value in found.inputs.items())
    if columns and not specs[0].fields:
        raise UserError(
            f"columns= names the columns of one matrix, but this model has the inputs {', '.join(found.inputs)}"
        )
    outputs = tuple(_spec(key, value, ()) for key, value in source.expected.items())
    return ModelMetadata(
        name, "", PLATFORM, specs, tuple(replace(spec, missing=False) for spec in outputs), source.primary,
        source.labels, _first_whole_row(found.inputs), None, source.threshold,
    )  # fmt: skip


def _spec(name: str, value: Array, fields: tuple[str, ...]) -> TensorSpec:
    missing = value.dtype.kind == "f" and bool(np.isnan(value).any())
    datatype = "BYTES" if value.dtype.kind == "O" else datatype_of(value.dtype)
    if fields and len(fields) != value.shape[-1]:
        raise UserError(f"there are {len(fields)} column names for {value.shape[-1]} columns")
    return TensorSpec(name, datatype, (-1, *value.shape[1:]), fields=fields, missing=missing)


def _first_whole_row(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The first row without missing values, or the first row if there is none."""
    whole = np.full(len(next(iter(inputs.values()))), True)
    for value in inputs.values():
        lacks = np.isnan(value) if value.dtype.kind == "f" else value == "" if value.dtype.kind == "O" else None
        if lacks is not None:
            whole &= ~np.asarray(lacks).reshape(len(whole), -1).any(axis=1)
    row = int(whole.argmax())
    return {name: value[row : row + 1] for name, value in inputs.items()}
