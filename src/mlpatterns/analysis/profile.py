"""The profile of the training data, column by column, for comparison with later data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from mlpatterns.analysis.columns import ColumnValues, Kind, numbers
from mlpatterns.metadata import Array
from mlpatterns.user_errors import UserError

__all__ = ["DataProfile", "FieldProfile", "profile", "profile_of"]

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BINS = 10
MOST_CATEGORIES = 100
SAMPLE_ROWS, SAMPLE_VALUES = 10_000, 1_000_000  # of all columns together


class FieldProfile(Struct, frozen=True, omit_defaults=True):
    """One column.

    Attributes:
        count: the number of rows with a value; `missing` is the number of rows without one.
        mean, std, min, max: of numbers; 0 for categories. `std` is the sample standard deviation (divisor count - 1).
        quantiles: of numbers, by their share, e.g. ``"0.5"``.
        cuts: the ends of the bins of numbers: each is the last value of its bin; the last bin is open.
        counts: the counts of the bins, one more than `cuts`.
        categories: the number of rows by text; the rarest categories may be left out.
        sample: some of the values, or none.
        edges: only in an older profile, which has no `cuts`: the edges of bins of equal width, one more than `counts`;
            a bin does not include its upper edge.
    """

    name: str
    count: int
    mean: float
    std: float
    min: float
    max: float
    quantiles: dict[str, float] = {}
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    kind: Kind = "number"
    missing: int = 0
    cuts: tuple[float, ...] = ()
    categories: dict[str, int] = {}
    sample: tuple[float, ...] = ()

    @property
    def ends(self) -> tuple[float, ...]:
        """The last value of each bin except the last bin; it also works for an older profile."""
        return self.cuts or tuple(float(np.nextafter(edge, -np.inf)) for edge in self.edges[1:-1])


class DataProfile(Struct, frozen=True):
    """The profiles of all columns, and the number of rows of each class."""

    rows: int
    fields: tuple[FieldProfile, ...]
    classes: dict[str, int] = {}


def profile(
    x: Array, fields: Sequence[str], y: Array | None = None, labels: Sequence[str] = (), *, sample: int = SAMPLE_ROWS
) -> DataProfile:
    """Profiles a table of numbers.

    Args:
        x: numbers, [rows, fields]; NaN is a missing value.
        y: class numbers, [rows], indices into `labels`; or None.
        sample: the largest number of rows whose values are kept; 0 keeps none.

    Raises:
        UserError: there is no row, a value is infinite, a column has no value, or the number of columns differs from
            the number of names.
    """
    if x.ndim != 2 or x.shape[1] != len(fields) or not len(x):
        raise UserError(f"a profile needs rows of {len(fields)} columns, not an array of shape {x.shape}")
    counts = () if y is None else np.bincount(y, minlength=len(labels))
    classes = {label: int(count) for label, count in zip(labels, counts, strict=False)}
    return profile_of([numbers(name, x[:, i]) for i, name in enumerate(fields)], classes, sample=sample)


def profile_of(columns: Sequence[ColumnValues], classes: dict[str, int] | None = None, *,
               sample: int = SAMPLE_ROWS) -> DataProfile:  # fmt: skip
    """Profiles columns of numbers and categories with equal numbers of rows; raises the same errors as `profile`."""
    for column in columns:
        if column.unreadable:
            raise UserError(f"a profile needs finite numbers; {column.name} has {column.unreadable} other values")
        if not len(column.values):
            raise UserError(f"a profile needs values; {column.name} has none")
    most = min(sample, SAMPLE_VALUES // max(1, len(columns)))
    rows = columns[0].rows if columns else 0
    return DataProfile(rows, tuple(_field(column, most) for column in columns), classes or {})


def _field(column: ColumnValues, sample: int) -> FieldProfile:
    if column.kind == "category":
        most = Counter(column.values.tolist()).most_common(MOST_CATEGORIES)
        return FieldProfile(column.name, len(column.values), 0.0, 0.0, 0.0, 0.0, kind="category",
                            missing=column.missing, categories=dict(sorted(most)))  # fmt: skip
    values = np.sort(column.values)
    shares = np.quantile(values, QUANTILES)
    cuts = _cuts(values)
    return FieldProfile(
        name=column.name,
        count=len(values),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        min=float(values[0]),
        max=float(values[-1]),
        quantiles={str(share): float(value) for share, value in zip(QUANTILES, shares, strict=True)},
        counts=tuple(np.bincount(np.searchsorted(cuts, values), minlength=len(cuts) + 1).tolist()),
        missing=column.missing,
        cuts=tuple(cuts.tolist()),
        sample=tuple(_spread(values, sample).tolist()),
    )


def _cuts(values: Array) -> Array:
    """The values that cut the sorted `values` into bins of about equal counts; equal values give fewer bins."""
    ends = np.ceil(len(values) * np.arange(1, BINS) / BINS).astype(np.int64) - 1
    cuts = np.unique(values[ends])
    below: Array = cuts[cuts < values[-1]]  # otherwise the last bin would be empty
    return below


def _spread(values: Array, most: int) -> Array:
    """All sorted `values`, or `most` of them, drawn with a fixed seed so that equal trainings give equal profiles."""
    if len(values) <= most:
        return values
    drawn: Array = np.random.default_rng(0).choice(values, most, replace=False)
    return np.sort(drawn)
