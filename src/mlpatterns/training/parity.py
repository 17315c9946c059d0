"""Parity: whether an exported model gives the same outputs as the fitted one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.user_errors import ModelFileError, UserError

__all__ = ["TOLERANCE", "Parity", "compare", "require", "run_onnx"]

TOLERANCE = 1e-4  # largest difference of a probability: float32 against float64 gives about 1e-7


class Parity(Struct, frozen=True):
    """The largest difference of a float output, and the number of rows with another class, over `rows` rows.

    `ties` rows are so near to being told apart otherwise that the tolerance alone may do it: they are not counted.
    """

    max_difference: float
    other_labels: int
    rows: int
    tolerance: float = TOLERANCE
    ties: int = 0

    @property
    def holds(self) -> bool:
        # Written so that NaN does not hold.
        return self.max_difference <= self.tolerance and self.other_labels == 0


def run_onnx(model: bytes, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs of an ONNX model by name, on one thread of the CPU.

    Raises:
        ModelFileError: if ONNX Runtime cannot load or run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # its exceptions have no common base
        raise ModelFileError(f"ONNX Runtime cannot run the exported model: {error}") from error


def compare(
    expected: Mapping[str, Array],
    got: Mapping[str, Array],
    margin: Array | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Compares outputs by name, [rows, …]: floats by difference, all else by equality.

    An output that is missing or has another shape differs infinitely.

    Args:
        margin: how far each row is from being told apart otherwise, in the unit of the float outputs, [rows]; where it
            is within the tolerance, only the floats are compared.
        tolerance: the largest difference of a float.
    """
    rows = len(next(iter(expected.values())))
    clear = np.full(rows, True) if margin is None else ~(margin <= tolerance)  # NaN is no tie
    difference, others = 0.0, 0
    for name, value in expected.items():
        answer = got.get(name)
        if answer is None or answer.shape != value.shape:
            return Parity(float("inf"), rows, rows, tolerance)
        if value.dtype.kind == "f":
            gap = np.abs(answer.astype(np.float64) - value.astype(np.float64))
            difference = max(difference, float(gap.max())) if not np.isnan(gap).any() else float("inf")
        else:
            others += int(((answer != value).reshape(rows, -1).any(axis=1) & clear).sum())
    return Parity(difference, others, rows, tolerance, ties=int((~clear).sum()))


def require(parity: Parity) -> None:
    """Refuses a model that lost parity.

    Raises:
        UserError: with the figures.
    """
    if not parity.holds:
        raise UserError(
            f"the exported model is not registered: it differs from the trained one by {parity.max_difference:.3g}"
            f" (at most {parity.tolerance:g} is allowed) and in {parity.other_labels} of {parity.rows} labels"
        )
