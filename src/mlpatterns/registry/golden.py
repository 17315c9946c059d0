"""The golden set of a model: inputs and the outputs that the model gave for them, stored with it as ``golden.json``.

Training makes a golden set from its data, and an import makes one from a sample. Both use `chosen_rows` and
`make_golden`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.registry.digests import digest, reading_file
from mlpatterns.registry.files import ModelFiles, dump_metadata
from mlpatterns.tensors import finite, read_only
from mlpatterns.user_errors import ModelFileError

__all__ = [
    "GOLDEN", "Golden", "GoldenSet", "agree", "chosen_rows", "golden_file", "golden_inputs", "golden_set",
    "make_golden",
]  # fmt: skip

GOLDEN = "golden.json"
MOST_ROWS = 24
MOST_ELEMENTS = 1 << 18  # of all inputs together; a golden set is stored as text and read at each load


class Golden(Struct, frozen=True):
    """A golden set as it is stored: tensors by name as nested lists. Floats must agree within the absolute `tolerance`,
    all other values exactly."""

    tolerance: float
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    def dump(self) -> bytes:
        """The content of ``golden.json``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


class GoldenSet(Struct, frozen=True):
    """A golden set with its tensors as arrays."""

    tolerance: float
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def chosen_rows(rows: Mapping[str, Array], specs: Sequence[TensorSpec], most: int | None = None) -> dict[str, Array]:
    """Chooses the rows of a golden set, evenly spaced, so that data sorted by class gives all classes.

    Args:
        rows: inputs by name, with equal numbers of rows.
        specs: the inputs. If the model takes a fixed number of rows, the result is that many of the first rows.
        most: the largest number of rows that the model takes at once, if it has a limit.
    """
    count = len(next(iter(rows.values())))
    sizes = {spec.shape[0] for spec in specs if spec.shape} - {-1}
    if sizes:
        return {name: value[: max(sizes)] for name, value in rows.items()}
    elements = max(1, sum(value.size for value in rows.values()) // max(1, count))
    wanted = max(1, min(MOST_ROWS, count, MOST_ELEMENTS // elements, most or MOST_ROWS))
    places = np.unique(np.linspace(0, count - 1, wanted).round().astype(np.int64))
    return {name: value[places] for name, value in rows.items()}


def make_golden(inputs: Mapping[str, Array], outputs: Mapping[str, Array], tolerance: float) -> Golden:
    """A golden set of `inputs` and the `outputs` that the model gave for them.

    Raises:
        ValueError: a tensor cannot be stored as JSON: bytes that are not UTF-8, an infinite number, NaN in an output.
    """
    if not finite(outputs):
        raise ValueError("an answer is not finite")
    if any(np.isinf(value).any() for value in inputs.values() if value.dtype.kind == "f"):
        raise ValueError("an input is infinite")
    return Golden(tolerance, _lists(inputs), _lists(outputs))


def agree(expected: Array, got: Array, tolerance: float) -> bool:
    """Whether an output equals the expected output: floats within the absolute `tolerance`, other values exactly."""
    if expected.shape != got.shape:
        return False
    if got.dtype.kind == "f":
        return bool(np.allclose(expected, got, rtol=0, atol=tolerance, equal_nan=True))
    return bool((expected == got).all())


def golden_file(files: ModelFiles) -> Path:
    """The path of a model's golden set, if it has one; ``model.golden.json`` for an unregistered ``model.onnx``."""
    if files.folder is not None:
        return files.folder / GOLDEN
    return files.model.with_name(f"{files.model.stem}.{GOLDEN}")


def golden_inputs(files: ModelFiles) -> tuple[Mapping[str, Array], str]:
    """The inputs of a model's golden set, or else its sample, and the SHA-256 of the file or metadata that holds them.

    Raises:
        ModelFileError: the model has neither, or its golden set is not valid.
    """
    path, metadata = golden_file(files), files.metadata
    if metadata is not None and path.is_file():
        return _read(path, files.name, metadata, with_answers=False).inputs, digest(path)
    if metadata is None or metadata.sample is None:
        raise ModelFileError(f"{files.name} has no golden set and no sample; name a registered model, which has both")
    return metadata.sample, hashlib.sha256(dump_metadata(metadata)).hexdigest()


def golden_set(files: ModelFiles) -> GoldenSet | None:
    """The golden set of a model, or None if it has none.

    Raises:
        ModelFileError: the golden set is not valid for this model.
    """
    path, metadata = golden_file(files), files.metadata
    if metadata is None or not path.is_file():
        return None
    return _read(path, files.name, metadata, with_answers=True)


def _read(path: Path, name: str, metadata: ModelMetadata, *, with_answers: bool) -> GoldenSet:
    with reading_file(path):
        content = path.read_bytes()
    try:
        given = msgspec.json.decode(content, type=Golden)
        inputs = {spec.name: _tensor(given.inputs[spec.name], spec.datatype) for spec in metadata.inputs
                  if not spec.optional or spec.name in given.inputs}  # fmt: skip
        if len({len(value) for value in inputs.values()}) != 1:
            raise ValueError("its inputs have different lengths")
        datatypes = {spec.name: spec.datatype for spec in metadata.outputs}
        answers = given.outputs if with_answers else {}
        outputs = {key: _tensor(values, datatypes[key]) for key, values in answers.items()}
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{name}: {GOLDEN} is not a golden set of this model; train it again") from error
    return GoldenSet(given.tolerance, inputs, outputs)


def _lists(tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Tensors as nested lists. Bytes become text, because JSON has no bytes. NaN becomes null in the JSON."""
    return {name: (_texts(value) if value.dtype == object else value).tolist() for name, value in tensors.items()}


def _texts(value: Array) -> Array:
    texts = np.empty(value.size, object)
    texts[:] = [item.decode() if isinstance(item, bytes) else str(item) for item in value.flat]
    return texts.reshape(value.shape)


def _tensor(values: Any, datatype: str) -> Array:
    """Nested lists as a tensor. Text becomes bytes, as in all BYTES tensors between predictors."""
    array = np.array(values, DTYPES[datatype])
    if datatype == "BYTES":
        array = np.array([str(text).encode() for text in array.flat], object).reshape(array.shape)
    return read_only(array)
