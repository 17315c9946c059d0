"""How two answers to the same rows differ: in the label of each row, and in the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array

__all__ = ["Difference", "difference"]

MOST_FLIPS, LONGEST = 100, 64  # kinds of flips that are counted separately, and characters of a label


class Difference(Struct, frozen=True):
    """The difference between two answers.

    Attributes:
        rows: the rows that were compared.
        differ: rows with different labels; without labels, rows that differ by more than the tolerance.
        largest, mean: absolute differences of the numbers; None if the answers are not numbers. A NaN in only one of
            the answers is an infinite difference.
        flips: the number of rows for each change of label, by ``from → to``.
    """

    rows: int
    differ: int
    largest: float | None
    mean: float | None
    flips: Mapping[str, int]


def difference(one: Array, other: Array, names: Sequence[str] = (), tolerance: float = 1e-5) -> Difference:
    """Compares two outputs whose first axis is the batch.

    The label of a row of two or more scores is that of the highest score, the first one of equal scores. A row of one
    text, boolean or integer is its own label. Other rows have no label.

    Args:
        names: the label for each index of a score.

    Raises:
        ValueError: the shapes differ, or only one output contains numbers.
    """
    if one.shape != other.shape or not one.ndim:
        raise ValueError(f"one answer has the shape {list(one.shape)}, the other {list(other.shape)}")
    kinds = {_is_number(one), _is_number(other)}
    if len(kinds) > 1:
        raise ValueError("one answer holds numbers, the other does not")
    rows = len(one)
    largest = mean = None
    if True in kinds and one.size:
        apart = _apart(one, other)
        largest, mean = float(apart.max()), float(apart.mean())
        wide = (apart.reshape(rows, -1) > tolerance).any(axis=1)
    else:
        wide = (one != other).reshape(rows, -1).any(axis=1) if one.size else np.zeros(rows, bool)
    before, after = _labels(one, names), _labels(other, names)
    if before is None or after is None:
        return Difference(rows, int(wide.sum()), largest, mean, {})
    flips = Counter(f"{a} → {b}" for a, b in zip(before, after, strict=True) if a != b)
    return Difference(rows, flips.total(), largest, mean, dict(flips.most_common(MOST_FLIPS)))


def _is_number(values: Array) -> bool:
    return values.dtype.kind in "fiub"


def _apart(one: Array, other: Array) -> Array:
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity minus itself
        apart = np.abs(a - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _labels(values: Array, names: Sequence[str]) -> list[str] | None:
    if values.dtype.kind == "f":
        if values.ndim != 2 or values.shape[1] < 2:
            return None
        best = values.argmax(axis=1).tolist()
        return [names[index] if index < len(names) else str(index) for index in best]
    flat = values.reshape(len(values), -1)
    if flat.shape[1] != 1:
        return None
    return [_text(value)[:LONGEST] for value in flat[:, 0].tolist()]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
