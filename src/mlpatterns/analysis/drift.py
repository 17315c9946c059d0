"""Tests whether the rows of a window come from the distribution of the profile: tests, effect sizes, and thresholds for
drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.analysis.benjamini_hochberg import adjusted
from mlpatterns.analysis.broken import what_broke
from mlpatterns.analysis.columns import ColumnValues, Kind
from mlpatterns.analysis.homogeneity import pearson_p_value
from mlpatterns.analysis.ks import distance, ks_p_value
from mlpatterns.analysis.profile import DataProfile, FieldProfile
from mlpatterns.analysis.psi import psi, psi_bias, psi_p_value
from mlpatterns.analysis.shares import more_than, shares_differ
from mlpatterns.analysis.wasserstein import wasserstein
from mlpatterns.metadata import Array

__all__ = ["OUTLIERS", "QUALITY", "Drift", "DriftThresholds", "EffectTest", "Excess", "FieldDrift", "compare"]

OUTLIERS, QUALITY = "outliers", "quality"  # the names of these two alerts; an alert for a column has the column's name
TestName = Literal["ks", "psi", "chi_square", "missing", "outliers", "quality"]


class DriftThresholds(Struct, frozen=True):
    """The thresholds for drift: a difference is drift if it is significant and large enough to matter.

    Attributes:
        alpha: the largest share of windows without drift in which anything is reported as drift.
        psi: the smallest population stability index, of numbers and categories, after its bias in small samples is
            subtracted.
        ks: the smallest Kolmogorov-Smirnov distance between the distributions of numbers.
        missing: the smallest difference of the share of missing or unreadable values.
        outliers: the smallest difference of the share of outliers.
        outlier_share: the usual share of outliers.
        accuracy: the usual share of right predictions, if true labels arrive later; if None, it is unknown and not
            tested.
        quality: the smallest difference from `accuracy`.
    """

    alpha: float = 0.01
    psi: float = 0.1
    ks: float = 0.1
    missing: float = 0.05
    outliers: float = 0.1
    outlier_share: float = 0.1
    accuracy: float | None = None
    quality: float = 0.05


class EffectTest(Struct, frozen=True):
    """One test: the size of its effect (difference of shares, distance, index), its p-value, and its q-value by
    Benjamini-Hochberg.
    """

    name: TestName
    effect: float
    p: float
    q: float = 1.0
    drifted: bool = False


class FieldDrift(Struct, frozen=True):
    """One column of a window.

    Attributes:
        missing: the share of rows without a value, or with an unreadable one.
        psi: the index minus its bias, at least 0; None without values.
        wasserstein: the Wasserstein distance in standard deviations of the reference; None if the profile has no
            sample of it.
        problem: a sentence on what seems to be broken, if the column drifted.
    """

    name: str
    kind: Kind
    rows: int
    missing: float
    psi: float | None
    ks: float | None
    wasserstein: float | None
    tests: tuple[EffectTest, ...]
    drifted: bool = False
    problem: str = ""


class Excess(Struct, frozen=True):
    """The number of outliers or wrong predictions in a window, among the rows for which this is known."""

    count: int
    rows: int
    test: EffectTest

    @property
    def share(self) -> float:
        return self.count / self.rows


class Drift(Struct, frozen=True):
    """The comparison of a window with a profile."""

    rows: int
    fields: tuple[FieldDrift, ...]
    outliers: Excess | None = None
    quality: Excess | None = None

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that drifted, ``outliers`` if there are too many, and ``quality`` if too many were wrong."""
        rates = ((OUTLIERS, self.outliers), (QUALITY, self.quality))
        names = [field.name for field in self.fields if field.drifted]
        return (*names, *(name for name, rate in rates if rate is not None and rate.test.drifted))


def compare(
    profile: DataProfile,
    columns: Mapping[str, ColumnValues],
    thresholds: DriftThresholds | None = None,
    outliers: tuple[int, int] | None = None,
    wrong: tuple[int, int] | None = None,
) -> Drift:
    """Compares a window with a profile. All tests of a window are one family (Benjamini-Hochberg).

    Args:
        profile: the profile of the training data, or of an earlier window.
        columns: the columns of the window by name. Columns that the profile does not have are ignored; an absent column
            counts as missing in every row.
        thresholds: by default `DriftThresholds()`.
        outliers: the number of outliers, and of rows that were checked.
        wrong: the number of wrong predictions, and of predictions for which this is known.
    """
    limits = thresholds or DriftThresholds()
    rows = max((column.rows for column in columns.values()), default=0)
    tests_at_most = 3 * len(profile.fields) + 2
    bound = limits.alpha / tests_at_most
    found = [_field(field, columns.get(field.name) or _absent(field, rows), bound) for field in profile.fields]
    error = None if limits.accuracy is None else 1 - limits.accuracy
    rates = [_excess("outliers", outliers, limits.outlier_share), _excess("quality", wrong, error)]
    every = [test for field in found for test in field.tests] + [rate.test for rate in rates if rate]
    decided = iter([_decided(test, q, limits) for test, q in zip(every, _adjusted(every), strict=True)])
    fields = []
    for profiled, field in zip(profile.fields, found, strict=True):
        tests = tuple(next(decided) for _ in field.tests)
        drifted = any(test.drifted for test in tests)
        column = columns.get(field.name)
        problem = what_broke(profiled, column) if drifted else ""
        fields.append(replace(field, tests=tests, drifted=drifted, problem=problem))
    return Drift(rows, tuple(fields), *[rate and replace(rate, test=next(decided)) for rate in rates])


def _adjusted(tests: Sequence[EffectTest]) -> list[float]:
    return adjusted([test.p for test in tests]) if tests else []


def _decided(test: EffectTest, q: float, limits: DriftThresholds) -> EffectTest:
    least = {"ks": limits.ks, "psi": limits.psi, "chi_square": limits.psi, "missing": limits.missing,
             "outliers": limits.outliers, "quality": limits.quality}[test.name]  # fmt: skip
    return replace(test, q=q, drifted=q <= limits.alpha and test.effect >= least)


def _absent(field: FieldProfile, rows: int) -> ColumnValues:
    return ColumnValues(field.name, field.kind, np.array([]), rows)


def _field(field: FieldProfile, column: ColumnValues, bound: float) -> FieldDrift:
    compared = _categories if field.kind == "category" else _numbers
    index, ks, moved, tests = compared(field, column, bound) if len(column.values) else (None, None, None, [])
    lost, rows = column.missing + column.unreadable, column.rows
    share = lost / rows if rows else 0.0
    if rows and (lost or field.missing):
        usual = field.missing / (field.count + field.missing)
        p = shares_differ(field.missing, field.count + field.missing, lost, rows)
        tests.append(EffectTest("missing", abs(share - usual), p))
    return FieldDrift(field.name, field.kind, rows, share, index, ks, moved, tuple(tests))


Compared = tuple[float | None, float | None, float | None, list[EffectTest]]  # index, distance, movement, tests


def _numbers(field: FieldProfile, column: ColumnValues, bound: float) -> Compared:
    counts, cuts = np.array(field.counts), np.array(field.ends)
    window = np.bincount(np.searchsorted(cuts, column.values), minlength=len(counts))
    quantiles = bool(field.cuts) and _all_different(field)
    index, tests = _index(counts, window, lambda: psi_p_value(counts, window, bound=bound, quantiles=quantiles), "psi")
    if not field.sample:
        return index, None, None, tests
    reference, values = np.array(field.sample), np.sort(column.values)
    ks, whole = distance(reference, values)
    tests.append(EffectTest("ks", ks, ks_p_value(whole, len(reference), len(values))))
    return index, ks, wasserstein(reference, values, field.std), tests


def _categories(field: FieldProfile, column: ColumnValues, bound: float) -> Compared:
    known = list(field.categories)
    place = {text: number for number, text in enumerate(known)}
    window = np.bincount([place.get(text, len(known)) for text in column.values], minlength=len(known) + 1)
    counts = np.array([*field.categories.values(), field.count - sum(field.categories.values())])
    index, tests = _index(counts, window, lambda: pearson_p_value(*_used(counts, window), bound=bound), "chi_square")
    return index, None, None, tests


def _used(counts: Array, window: Array) -> tuple[Array, Array]:
    """Both counts, without the bins that are empty in both."""
    used = (counts + window) > 0
    return counts[used], window[used]


def _index(
    counts: Array, window: Array, p_value: Callable[[], float], name: TestName
) -> tuple[float, list[EffectTest]]:
    counts, window = _used(counts, window)
    if len(counts) < 2:  # one bin contains all values: nothing can differ
        return 0.0, []
    index = float(psi(counts, window)) - psi_bias(len(counts), int(counts.sum()), int(window.sum()))
    index = max(0.0, index)
    return index, [EffectTest(name, index, p_value())]


def _all_different(field: FieldProfile) -> bool:
    """Whether all profiled values seem to be distinct: the bins have equal counts, which equal values would prevent."""
    return max(field.counts) - min(field.counts) <= 1


def _excess(name: Literal["outliers", "quality"], found: tuple[int, int] | None, usual: float | None) -> Excess | None:
    if found is None or usual is None or not found[1]:
        return None
    count, rows = found
    return Excess(count, rows, EffectTest(name, max(0.0, count / rows - usual), more_than(count, rows, usual)))
