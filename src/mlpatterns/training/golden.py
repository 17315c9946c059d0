"""The golden set: inputs with the answers that this very model gave, to be checked before it is served anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.predictor import Array
from mlpatterns.training.parity import TOLERANCE, run_onnx

__all__ = ["GOLDEN", "ROWS", "Golden", "golden_set"]

GOLDEN, ROWS = "golden.json", 24


class Golden(Struct, frozen=True):
    """Tensors by name as nested lists; floats must agree within `tolerance`, all else exactly."""

    tolerance: float
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    def dump(self) -> bytes:
        """``golden.json``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def golden_set(model: bytes, x: Array, input_name: str) -> Golden:
    """`ROWS` rows spread evenly over `x` [rows, fields], which is in order of class, and the model's answers."""
    chosen = x[np.unique(np.linspace(0, len(x) - 1, ROWS).round().astype(np.int64))]
    return Golden(TOLERANCE, _lists({input_name: chosen}), _lists(run_onnx(model, {input_name: chosen})))


def _lists(tensors: Mapping[str, Array]) -> dict[str, Any]:
    return {name: value.tolist() for name, value in tensors.items()}
