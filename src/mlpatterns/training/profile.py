"""What the training data looked like, column by column: what later data is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from mlpatterns.errors import UserError
from mlpatterns.metadata import Array

__all__ = ["DataProfile", "FieldProfile", "profile"]

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BINS = 10  # of equal width between minimum and maximum


class FieldProfile(Struct, frozen=True):
    """One column. `std` is the sample's (divided by count - 1); `quantiles` go by their share, e.g. ``"0.5"``.

    `edges` has one element more than `counts`; bin i holds ``edges[i] <= value < edges[i + 1]``, the last its end too.
    """

    name: str
    count: int
    mean: float
    std: float
    min: float
    max: float
    quantiles: dict[str, float]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class DataProfile(Struct, frozen=True):
    """All columns, and how many rows each class had."""

    rows: int
    fields: tuple[FieldProfile, ...]
    classes: dict[str, int] = {}


def profile(x: Array, fields: Sequence[str], y: Array | None = None, labels: Sequence[str] = ()) -> DataProfile:
    """Profiles a table.

    Args:
        x: numbers, [rows, fields].
        y: class numbers, [rows], indices into `labels`; or None.

    Raises:
        UserError: if there is no row, a value that is not finite, or another number of columns than names.
    """
    if x.ndim != 2 or x.shape[1] != len(fields) or not len(x):
        raise UserError(f"a profile needs rows of {len(fields)} columns, not an array of shape {x.shape}")
    values = x.astype(np.float64)  # float32 sums lose digits
    if not np.isfinite(values).all():
        raise UserError("a profile needs finite numbers; remove the rows with NaN or infinity")
    counts = () if y is None else np.bincount(y, minlength=len(labels))
    classes = {label: int(count) for label, count in zip(labels, counts, strict=False)}
    return DataProfile(len(x), tuple(_field(name, values[:, i]) for i, name in enumerate(fields)), classes)


def _field(name: str, values: Array) -> FieldProfile:
    counts, edges = np.histogram(values, bins=BINS)
    shares = np.quantile(values, QUANTILES)
    return FieldProfile(
        name=name,
        count=len(values),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        min=float(values.min()),
        max=float(values.max()),
        quantiles={str(share): float(value) for share, value in zip(QUANTILES, shares, strict=True)},
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
    )
