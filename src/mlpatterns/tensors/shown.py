"""How rows are shown as JSON: one alone or all, as numbers or by their labels."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from mlpatterns.errors import InternalError, InvalidInput, NotFound
from mlpatterns.metadata import Array

__all__ = ["LISTED_LABELS", "best_labels", "listed", "one_or_all", "structure"]

LISTED_LABELS = frozenset(
    {"image", "key"}
)  # of models with inputs of such content the labels are a list, as in the book


def best_labels(scores: Array, names: Sequence[str]) -> str | list[str]:
    """The name of the highest score of each row; of one row alone, not in a list.

    One score for two names is scikit-learn's decision function: above 0 it is the second.

    Raises:
        NotFound: there are no names.
        InternalError: there is no score for each name.
    """
    if not names:
        raise NotFound("this model has no labels")
    if scores.ndim == 2 and scores.shape[1] == len(names):
        indices = scores.argmax(axis=1)
    elif scores.ndim == 2 and scores.shape[1] == 1 and len(names) == 2:
        indices = (scores[:, 0] > 0).astype(np.int64)
    else:
        raise InternalError("the model's answer has no score for each label")
    best = [names[index] for index in indices.tolist()]
    return best[0] if len(best) == 1 else best


def one_or_all(values: Array) -> Any:
    """The one row flat, several rows as they are.

    Raises:
        InvalidInput: a value is NaN or infinite, for which JSON has no word.
    """
    if values.ndim == 2 and len(values) == 1 and values.dtype.kind == "f":  # by far the most frequent
        row = values[0].tolist()
        if isfinite(sum(row)) or np.isfinite(values).all():
            return row
    rows = listed(values)
    if values.ndim and len(rows) == 1:
        rows = rows[0]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidInput("the answer holds NaN or infinity, which JSON cannot say; ask for binary output over OIP")
    return rows


def listed(values: Array) -> Any:
    """An array as nested lists; bytes become the text that they are."""
    if values.dtype.kind != "O":
        return values.tolist()
    texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in values.flat]
    return np.array(texts, dtype=object).reshape(values.shape).tolist()


def structure(values: Array) -> str:
    """A shape in the book's spelling: `(1,4)`."""
    return f"({','.join(str(size) for size in values.shape)})"
