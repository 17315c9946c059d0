"""Describes in words what seems to be broken in a column that has drifted."""

from __future__ import annotations

from math import log10

import numpy as np

from mlpatterns.analysis.columns import ColumnValues
from mlpatterns.analysis.profile import FieldProfile

__all__ = ["what_broke"]

FEW = 20  # fewer values may be equal by chance
SHOWN, LONGEST = 3, 40  # new categories to show, and characters of one
NEAR = 0.1  # the largest distance from a power of ten, in decimal logarithms


def what_broke(field: FieldProfile, column: ColumnValues | None) -> str:
    """One sentence about the defect; empty if the column only has other values than before."""
    if column is None:
        return "the column is not there"
    if column.unreadable:
        return f"{column.unreadable} of {column.rows} values are not numbers"
    if not len(column.values):
        return "all values are missing"
    first = column.values[0]
    if len(column.values) >= FEW and (column.values == first).all() and _varied(field):
        return f"all values are {_shown(first)}"
    if field.kind == "category":
        new = sorted({str(value) for value in column.values} - set(field.categories))
        return f"new values: {', '.join(map(_shown, new[:SHOWN]))}" if new else ""
    return _scale(field, column)


def _varied(field: FieldProfile) -> bool:
    return len(field.categories) > 1 if field.kind == "category" else field.std > 0


def _scale(field: FieldProfile, column: ColumnValues) -> str:
    """The sentence if all values seem to be in another unit: the quartiles have changed by one power of ten."""
    if len(column.values) < FEW:
        return ""
    usual = np.array([field.quantiles.get(share, 0.0) for share in ("0.25", "0.5", "0.75")])
    now = np.quantile(column.values, (0.25, 0.5, 0.75))
    if (usual * now <= 0).any():
        return ""
    powers = np.log10(np.abs(now / usual))
    nearest = round(float(powers.mean()))
    if nearest and np.abs(powers - nearest).max() <= NEAR + log10(1.25):
        return f"values are about {10.0**nearest:g} times what they were"
    return ""


def _shown(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
