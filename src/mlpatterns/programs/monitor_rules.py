"""How a complete window is judged: by calibrated tests against the profile, or by fixed limits of the means."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.analysis.columns import ColumnValues, Kind, categories, numbers_in
from mlpatterns.analysis.drift import OUTLIERS, Drift, DriftThresholds, FieldDrift, compare
from mlpatterns.analysis.profile import DataProfile, profile_of
from mlpatterns.stores.monitor import OpenWindow, Window
from mlpatterns.user_errors import UserError

__all__ = ["LimitRules", "Limits", "Rules", "StatisticalRules", "baseline", "columns_of"]


class Limits(Struct, frozen=True):
    """The fixed limits of ml-system-in-actions.

    Attributes:
        means: the expected means by column; by default those of the profile.
        threshold: how far a mean may differ, as a share of the expected mean.
        outlier_threshold: the share of rows that may be outliers.
    """

    means: dict[str, float] = {}
    threshold: float = 0.05
    outlier_threshold: float = 0.2


class Rules(Protocol):
    """Judges a window.

    Attributes:
        needs_profile: whether it cannot judge without a profile.
    """

    needs_profile: bool

    def judge(self, window: OpenWindow, profile: DataProfile | None) -> Window: ...


class StatisticalRules:
    """Tests against the profile: a q-value by Benjamini-Hochberg, and an effect size."""

    needs_profile = True

    def __init__(self, thresholds: DriftThresholds, ignore: Collection[str] = ()) -> None:
        self._thresholds, self._ignore = thresholds, ignore

    def judge(self, window: OpenWindow, profile: DataProfile | None) -> Window:
        columns = columns_of(window, profile)
        if profile is None:
            return _window(window, columns)
        outliers = (window.outliers, window.judged) if window.judged else None
        wrong = (window.labelled - window.right, window.labelled) if window.labelled else None
        fields = tuple(field for field in profile.fields if columns and field.name not in self._ignore)
        drift = compare(replace(profile, fields=fields), columns, self._thresholds, outliers, wrong)
        return _window(window, columns, drift.drifted, tuple(_sentences(drift)), drift)


class LimitRules:
    """Limits of the means and of the share of outliers."""

    needs_profile = False

    def __init__(self, limits: Limits, ignore: Collection[str] = ()) -> None:
        self._limits, self._ignore = limits, ignore

    def judge(self, window: OpenWindow, profile: DataProfile | None) -> Window:
        limits, columns = self._limits, columns_of(window, profile)
        expected = limits.means or {field.name: field.mean for field in (profile.fields if profile else ())
                                    if field.kind == "number"}  # fmt: skip
        judged = _window(window, columns)
        found: dict[str, str] = {}
        for name, mean in expected.items() if columns else ():
            if name in self._ignore:
                continue
            average = judged.averages.get(name)
            if average is None or abs(average - mean) > limits.threshold * abs(mean):
                now = "no value" if average is None else f"{average:.2f}"
                found[name] = f"average {name} out of threshold: {now}, expected {mean:.2f} ± {limits.threshold:.0%}"
        if window.judged and window.outliers > limits.outlier_threshold * window.judged:
            found[OUTLIERS] = f"too many outliers: {window.outliers}"
        return _window(window, columns, tuple(found), tuple(found.values()))


def columns_of(window: OpenWindow, profile: DataProfile | None) -> dict[str, ColumnValues]:
    """The cells of a window as columns of the kinds in the profile. If no name is in the profile, but the number of
    columns is the same, they are matched in their order.
    """
    kinds: Mapping[str, Kind] = {field.name: field.kind for field in profile.fields} if profile else {}
    named = window.columns
    if len(kinds) == len(named) and not set(kinds) & set(named):
        named = dict(zip(kinds, named.values(), strict=True))
    made = {}
    for name, cells in named.items():
        kind: Literal["number", "category"] = kinds.get(
            name, "category" if any(isinstance(cell, str) for cell in cells) else "number"
        )
        made[name] = numbers_in(name, cells) if kind == "number" else categories(name, cells)
    return made


def baseline(window: OpenWindow) -> DataProfile | None:
    """A profile of the window itself, of the columns that have values; None if there are none."""
    columns = [column for column in columns_of(window, None).values() if len(column.values)]
    try:
        return profile_of(columns) if columns else None
    except UserError:
        return None


def _window(
    window: OpenWindow,
    columns: Mapping[str, ColumnValues],
    found: tuple[str, ...] = (),
    details: tuple[str, ...] = (),
    drift: Drift | None = None,
) -> Window:
    averages = {name: float(column.values.mean()) for name, column in columns.items()
                if column.kind == "number" and len(column.values)}  # fmt: skip
    return Window(
        window.model, window.version, window.began, window.ended, window.records, window.rows, averages,
        window.outliers, window.judged, window.labelled, window.right, drift, found, details=details,
    )  # fmt: skip


def _sentences(drift: Drift) -> list[str]:
    said = [f"{field.name}: {field.problem or _figures(field)}" for field in drift.fields if field.drifted]
    outliers = drift.outliers
    if outliers and outliers.test.drifted:
        usual = outliers.share - outliers.test.effect
        said.append(f"outliers: {outliers.share:.1%} of {outliers.rows} rows, where {usual:.1%} are usual")
    quality = drift.quality
    if quality and quality.test.drifted:
        usual = quality.share - quality.test.effect
        said.append(f"quality: {quality.share:.1%} of {quality.rows} were wrong, where {usual:.1%} are usual")
    return said


def _figures(field: FieldDrift) -> str:
    strongest = max((test for test in field.tests if test.drifted), key=lambda test: -test.q)
    shown = {"psi": "PSI", "ks": "KS distance", "chi_square": "PSI", "missing": "missing values"}
    return f"{shown[strongest.name]} {strongest.effect:.2f} (p {strongest.q:.1g})"
