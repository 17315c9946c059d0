"""The golden set: inputs with the answers that this very model gave, to be checked before it is served anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns.metadata import Array
from mlpatterns.registry.golden import GOLDEN, Golden
from mlpatterns.training.parity import TOLERANCE, run_onnx

__all__ = ["GOLDEN", "ROWS", "Golden", "golden_set"]

ROWS = 24


def golden_set(model: bytes, x: Array, input_name: str) -> Golden:
    """`ROWS` rows spread evenly over `x` [rows, fields], which is in order of class, and the model's answers."""
    chosen = x[np.unique(np.linspace(0, len(x) - 1, ROWS).round().astype(np.int64))]
    return Golden(TOLERANCE, _lists({input_name: chosen}), _lists(run_onnx(model, {input_name: chosen})))


def _lists(tensors: Mapping[str, Array]) -> dict[str, Any]:
    return {name: value.tolist() for name, value in tensors.items()}
