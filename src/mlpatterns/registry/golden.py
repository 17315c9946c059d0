"""The golden set of a model: inputs with the answers that this very model gave, kept with it as ``golden.json``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.datatypes import DTYPES
from mlpatterns.errors import ModelFileError
from mlpatterns.predictor import Array
from mlpatterns.registry.files import ModelFiles

__all__ = ["GOLDEN", "Golden", "golden_inputs"]

GOLDEN = "golden.json"


class Golden(Struct, frozen=True):
    """Tensors by name as nested lists; floats must agree within `tolerance`, all else exactly."""

    tolerance: float
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    def dump(self) -> bytes:
        """``golden.json``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def golden_inputs(files: ModelFiles) -> tuple[Mapping[str, Array], str]:
    """The inputs of a model's golden set, as its metadata declares them, and the SHA-256 of ``golden.json``.

    Raises:
        ModelFileError: the model has none, or it is no such record.
    """
    path = None if files.folder is None else files.folder / GOLDEN
    if path is None or files.metadata is None or not path.is_file():
        raise ModelFileError(
            f"{files.name} has no golden set; name a registered model, which keeps one from its training"
        )
    content = path.read_bytes()
    try:
        given = msgspec.json.decode(content, type=Golden).inputs
        inputs = {spec.name: np.array(given[spec.name], DTYPES[spec.datatype]) for spec in files.metadata.inputs}
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{files.name}: {GOLDEN} is no golden set of this model; train it again") from error
    if len({len(value) for value in inputs.values()}) != 1:
        raise ModelFileError(f"{files.name}: {GOLDEN} has inputs of different lengths; train it again")
    return inputs, hashlib.sha256(content).hexdigest()
