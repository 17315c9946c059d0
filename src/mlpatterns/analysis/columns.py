"""One column of a table, in the form for profiles and comparisons: numbers or categories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array

__all__ = ["ColumnValues", "Kind", "categories", "numbers", "numbers_in"]

Kind = Literal["number", "category"]


class ColumnValues(Struct, frozen=True):
    """The values of one column.

    Attributes:
        values: float64 for numbers, else an object array of text.
        missing: the number of rows without a value.
        unreadable: the number of rows with a value of another type, such as text or infinity among numbers; they are
            not missing.
    """

    name: str
    kind: Kind
    values: Array
    missing: int = 0
    unreadable: int = 0

    @property
    def rows(self) -> int:
        return len(self.values) + self.missing + self.unreadable


def numbers(name: str, values: Any) -> ColumnValues:
    """A column of numbers from an array; NaN counts as missing, infinity as unreadable."""
    exact = np.asarray(values, np.float64).reshape(-1)  # float32 sums lose digits
    missing, finite = np.isnan(exact), np.isfinite(exact)
    return ColumnValues(
        name, "number", exact[finite], int(missing.sum()), int(len(exact) - missing.sum() - finite.sum())
    )


def categories(name: str, values: Iterable[Any]) -> ColumnValues:
    """A column of categories, which are distinguished by their text; None and NaN count as missing."""
    all_values = list(values)
    kept = [_text(value) for value in all_values if value is not None and value == value]  # NaN does not equal itself
    return ColumnValues(name, "category", np.array(kept, object), len(all_values) - len(kept))


def numbers_in(name: str, values: Iterable[Any]) -> ColumnValues:
    """A column of values that should be numbers; values of other types count as unreadable."""
    read: list[float] = []
    missing = unreadable = 0
    for value in values:
        if value is None:
            missing += 1
        elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
            read.append(float(value))
        else:
            unreadable += 1
    found = numbers(name, read)
    return ColumnValues(name, "number", found.values, found.missing + missing, found.unreadable + unreadable)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
