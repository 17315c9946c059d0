"""Converts rows to JSON values: one row or several, as numbers or as labels."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from mlpatterns.errors import InternalError, NotFound
from mlpatterns.metadata import Array

__all__ = [
    "LISTED_LABELS", "NOT_FINITE", "best_labels", "is_label", "listed", "one_or_all", "shortest", "structure",
]  # fmt: skip

NOT_FINITE = "the model answered NaN or infinity, which JSON cannot express; ask for binary output over OIP"
LISTED_LABELS = frozenset(
    {"image", "key"}
)  # for models with inputs of this content, the labels are a list, as in the book


def best_labels(scores: Array, names: Sequence[str], threshold: float | None = None) -> Any:
    """The label of each row as a list; for a single row, the label itself.

    With one score for each name, the label is the name with the highest score. With one score for two names, it is the
    first name up to the threshold, and the second above it. A text is already a label. An integer is the index of its
    name; without names, the integer itself is the label.

    Args:
        scores: [rows, names], [rows, 1] or [rows].

    Raises:
        NotFound: there are no names, and `scores` does not hold labels.
        InternalError: the scores do not match the names, one score has no threshold, a score is NaN, or an integer has
            no name.
    """
    if is_label(scores.dtype.kind, scores.shape) and (scores.dtype.kind == "O" or threshold is None):
        best = listed(scores.reshape(-1))
        best = [_name(place, names) for place in best] if names and scores.dtype.kind != "O" else best
        return best[0] if len(best) == 1 else best
    if not names:
        raise NotFound("this model has no labels")
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        raise InternalError("the model answered NaN, which has no label")
    if scores.dtype.kind in "fiu" and scores.ndim == 2 and scores.shape[1] == len(names):
        indices = scores.argmax(axis=1)
    elif scores.dtype.kind in "fiu" and scores.ndim and scores.shape[1:] in ((), (1,)) and len(names) == 2:
        if threshold is None:
            raise InternalError("one score for two labels needs a threshold: set one for the model (--threshold)")
        indices = (scores.reshape(-1) > threshold).astype(np.int64)
    else:
        raise InternalError("the model's answer does not have one score for each label")
    best = [names[index] for index in indices.tolist()]
    return best[0] if len(best) == 1 else best


def _name(place: int, names: Sequence[str]) -> str:
    if not 0 <= place < len(names):
        raise InternalError(f"the model answered {place}, which is not the index of any of its {len(names)} labels")
    return names[place]


def is_label(kind: str, shape: Sequence[int]) -> bool:
    """Whether an output holds one label for each row, and not scores.

    Args:
        kind: NumPy's `dtype.kind` of the output: texts (O) and integers (i, u) may be labels.
        shape: the shape of the output, with the batch axis first.
    """
    return kind in "Oiu" and len(shape) in (1, 2) and tuple(shape[1:]) in ((), (1,))


def one_or_all(values: Array) -> Any:
    """A single row without its batch axis; several rows as nested lists.

    Raises:
        InternalError: a value is NaN or infinite, which JSON cannot express.
    """
    if values.ndim == 2 and len(values) == 1 and values.dtype.kind == "f":  # by far the most frequent case
        row = values[0].tolist()
        if isfinite(sum(row)) or np.isfinite(values).all():
            return row
    rows = listed(values)
    if values.ndim and len(rows) == 1:
        rows = rows[0]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InternalError(NOT_FINITE)
    return rows


def listed(values: Array) -> Any:
    """An array as nested lists; bytes are decoded to text."""
    if values.dtype.kind != "O":
        return values.tolist()
    texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in values.flat]
    return np.array(texts, dtype=object).reshape(values.shape).tolist()


def shortest(values: Array) -> Any:
    """An array as nested lists. Each number has the fewest digits that identify it in its datatype: 5.1, not
    5.099999904632568. NaN, which stands for a missing value, becomes None."""
    if values.dtype.kind != "f":
        return listed(values)
    exact = values.astype(np.float64) if values.dtype.itemsize > 4 else values.astype(str).astype(np.float64)
    if not np.isnan(exact).any():
        return exact.tolist()
    return np.where(np.isnan(exact), None, exact.astype(object)).tolist()  # type: ignore[call-overload]


def structure(values: Array) -> str:
    """The shape in the book's notation: `(1,4)`."""
    return f"({','.join(str(size) for size in values.shape)})"
