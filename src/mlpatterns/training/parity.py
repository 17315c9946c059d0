"""Parity: whether an exported model gives the same outputs as the fitted one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.user_errors import ModelFileError, UserError

__all__ = ["TOLERANCE", "Parity", "compare", "require", "run_onnx"]

TOLERANCE = 1e-4  # largest allowed difference of a probability; float32 and float64 differ by about 1e-7


class Parity(Struct, frozen=True):
    """The largest difference of a float output, and the number of rows with another class, over `rows` rows.

    `ties` is the number of rows whose class a difference within the tolerance may change; `other_labels` does not count
    them.
    """

    max_difference: float
    other_labels: int
    rows: int
    tolerance: float = TOLERANCE
    ties: int = 0

    @property
    def holds(self) -> bool:
        # In this form, NaN fails the comparison.
        return self.max_difference <= self.tolerance and self.other_labels == 0


def run_onnx(model: bytes, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs of an ONNX model by name, on one thread of the CPU.

    Raises:
        ModelFileError: ONNX Runtime cannot load or run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # the exceptions of ONNX Runtime have no common base class
        raise ModelFileError(f"ONNX Runtime cannot run the exported model: {error}") from error


def compare(
    expected: Mapping[str, Array],
    got: Mapping[str, Array],
    margin: Array | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Compares outputs by name, [rows, …]: floats by difference, all others by equality.

    For an output that is missing or has another shape, the difference is infinite.

    Args:
        margin: how far each row is from another class, in the unit of the float outputs, [rows]; if it is within the
            tolerance, only the floats of the row are compared.
        tolerance: the largest allowed difference of a float.
    """
    rows = len(next(iter(expected.values())))
    clear = np.full(rows, True) if margin is None else ~(margin <= tolerance)  # a NaN margin does not count as a tie
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
    """Checks that a model has parity.

    Raises:
        UserError: the model lost parity; the text contains the figures.
    """
    if not parity.holds:
        raise UserError(
            f"the exported model is not registered: it differs from the trained one by {parity.max_difference:.3g}"
            f" (at most {parity.tolerance:g} is allowed) and in {parity.other_labels} of {parity.rows} labels"
        )
