"""One column of a table, as it is profiled and compared: numbers, or categories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array

__all__ = ["Column", "Kind", "categories", "numbers", "numbers_in"]

Kind = Literal["number", "category"]


class Column(Struct, frozen=True):
    """The values of a column that there are.

    Attributes:
        values: float64 where the column has numbers, else an object array of texts.
        missing: how many rows have no value.
        unreadable: how many rows have a value of another type: text, or infinity, where numbers belong. They are not
            among the missing.
    """

    name: str
    kind: Kind
    values: Array
    missing: int = 0
    unreadable: int = 0

    @property
    def rows(self) -> int:
        return len(self.values) + self.missing + self.unreadable


def numbers(name: str, values: Any) -> Column:
    """A column of an array of numbers; NaN is a missing value, infinity no number."""
    exact = np.asarray(values, np.float64).reshape(-1)  # float32 sums lose digits
    missing, finite = np.isnan(exact), np.isfinite(exact)
    return Column(name, "number", exact[finite], int(missing.sum()), int(len(exact) - missing.sum() - finite.sum()))


def categories(name: str, values: Iterable[Any]) -> Column:
    """A column of what is told apart by its text; None and NaN are missing values."""
    all_values = list(values)
    kept = [_text(value) for value in all_values if value is not None and value == value]  # NaN is not itself
    return Column(name, "category", np.array(kept, object), len(all_values) - len(kept))


def numbers_in(name: str, values: Iterable[Any]) -> Column:
    """A column of anything, where numbers belong: what is none counts as unreadable."""
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
    return Column(name, "number", found.values, found.missing + missing, found.unreadable + unreadable)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
