"""How often a window without drift is called one, and one with drift is not.

*Claim.* The tests of a window are one family: where nothing has changed, any of them is significant after
Benjamini-Hochberg in at most `alpha` of the windows, however small they are. A drift needs an effect too, so those that
are called are fewer still.

*Method.* 2,000 replicates a case, each with a fresh profile and a fresh window of the same distribution; windows that
share one profile are not independent, and their share scatters far more. A case passes if the count is at most the
binomial 99.9 % quantile at `alpha` = 0.01. Detection is the share of windows in which the one column that was moved is
called. Alerts are those of the default hysteresis (2 of 3 windows), 60 windows in a row, each replicate with a profile
of its own.

*Why it is fair.* It is the code that `Monitor` and `mlpatterns drift` run. Rows are independent here; real ones come
from few callers and follow each other, which widens every distribution: for that a drift needs an effect.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.records import Goal, Plan, Report, Table
from mlpatterns.analysis.columns import ColumnValues, categories, numbers
from mlpatterns.analysis.drift import Drift, DriftThresholds, compare
from mlpatterns.analysis.hysteresis import AlertState, Hysteresis
from mlpatterns.analysis.profile import DataProfile, profile_of
from mlpatterns.analysis.shares import more_than

__all__ = ["CASES", "Case", "most_by_chance", "quiet_windows", "run"]

REPLICATES, QUICK = 2000, 40
ALPHA, SURE = 0.01, 0.001
OUTLIERS = 0.1
DETECTIONS, SERIES, LENGTH = 100, 10, 60

Draw = Callable[[np.random.Generator, int], list[ColumnValues]]


class Case(Struct, frozen=True):
    """A distribution, and how many rows profile and window have of it."""

    name: str
    reference: int
    rows: int
    draw: Draw
    old: bool = False


def normal(columns: int, *, digits: int | None = None, correlation: float = 0.5) -> Draw:
    """Columns that have a part in common; rounded, many values are equal."""

    def draw(random: np.random.Generator, rows: int) -> list[ColumnValues]:
        common = random.normal(size=(rows, 1)) * correlation**0.5
        table = 5 + common + random.normal(size=(rows, columns)) * (1 - correlation) ** 0.5
        table = table if digits is None else table.round(digits)
        return [numbers(f"c{index}", table[:, index]) for index in range(columns)]

    return draw


def mixed(random: np.random.Generator, rows: int) -> list[ColumnValues]:
    """Skewed numbers, some missing; small whole numbers; categories, some of them rare."""
    skewed = np.where(random.random(rows) < 0.1, np.nan, random.lognormal(0, 1, rows))
    few = random.choice(list("abcd"), rows, p=[0.4, 0.3, 0.2, 0.1])
    rare = random.choice(
        [f"r{index}" for index in range(40)], rows, p=(weights := 0.85 ** np.arange(40)) / weights.sum()
    )
    return [numbers("skewed", skewed), numbers("count", random.poisson(2.0, rows)),
            numbers("flag", random.random(rows) < 0.3), categories("few", few), categories("rare", rare)]  # fmt: skip


CASES = (
    Case("4 columns", 120, 50, normal(4)),
    Case("4 columns", 105, 200, normal(4)),
    Case("4 columns, rounded to 0.1", 105, 200, normal(4, digits=1)),
    Case("10 columns", 1000, 100, normal(10)),
    Case("10 columns", 1000, 200, normal(10)),
    Case("10 columns", 10_000, 1000, normal(10)),
    Case("numbers and categories, some missing", 150, 60, mixed),
    Case("numbers and categories, some missing", 2000, 300, mixed),
    Case("4 columns, a profile of an older version", 500, 200, normal(4), old=True),
)


def run(plan: Plan, folder: Path) -> Report:
    """All cases; then what is detected, and alerts in a row."""
    replicates = QUICK if plan.quick else REPLICATES
    cases = CASES[:2] if plan.quick else CASES
    rows, goals, raw = [], [], dict[str, Any]()
    for number, case in enumerate(cases):
        began = process_time()
        significant, drifted = quiet_windows(case, replicates, seed=number)
        cpu = 1000 * (process_time() - began) / replicates
        most, what = most_by_chance(replicates, ALPHA), f"{case.name}, {case.reference} and {case.rows} rows"
        goals.append(Goal(f"no drift: {what}", f"<= {most} of {replicates}", str(significant), significant <= most))
        rows.append((case.name, f"{case.reference}", f"{case.rows}", _share(significant, replicates),
                     _share(drifted, replicates), f"{cpu:.1f} ms"))  # fmt: skip
        raw[what] = {"significant": significant, "drifted": drifted, "replicates": replicates}
    columns = ("columns", "rows of the profile", "of the window", "any test significant", "any drift called", "CPU")
    tables = [Table(f"windows without drift, alpha = {ALPHA}", columns, tuple(rows)), _detected(plan), _alerts(plan)]
    return Report(goals=tuple(goals), tables=tuple(tables), raw={"cases": raw})


def quiet_windows(case: Case, replicates: int, *, seed: int) -> tuple[int, int]:
    """In how many windows without drift any test is significant, and in how many anything is called a drift."""
    random, significant, drifted = np.random.default_rng(seed), 0, 0
    for _ in range(replicates):
        found = _compared(random, case, case.draw(random, case.rows))
        tests = [test for field in found.fields for test in field.tests]
        significant += any(test.q <= ALPHA for test in [*tests, *([found.outliers.test] if found.outliers else [])])
        drifted += bool(found.drifted)
    return significant, drifted


def most_by_chance(replicates: int, share: float) -> int:
    """The count that is exceeded with a probability of at most 0.1 %."""
    return next(count for count in range(replicates + 1) if more_than(count + 1, replicates, share) <= SURE)


def _compared(random: np.random.Generator, case: Case, window: list[ColumnValues], made: DataProfile | None = None) -> Drift:
    made = made or _profile(random, case)
    outliers = (int(random.binomial(case.rows, OUTLIERS)), case.rows)
    return compare(made, {column.name: column for column in window}, DriftThresholds(alpha=ALPHA), outliers)


def _profile(random: np.random.Generator, case: Case) -> DataProfile:
    columns = case.draw(random, case.reference)
    made = profile_of(columns)
    if not case.old:
        return made
    bins = [np.histogram(column.values, bins=10) for column in columns]
    fields = [replace(field, cuts=(), sample=(), counts=tuple(map(int, counts)), edges=tuple(map(float, edges)))
              for field, (counts, edges) in zip(made.fields, bins, strict=True)]  # fmt: skip
    return replace(made, fields=tuple(fields))


def _detected(plan: Plan) -> Table:
    replicates, rows = (5 if plan.quick else DETECTIONS), []
    for reference, size, by in (
        (1000, 50, 1.0),
        (1000, 100, 1.0),
        (1000, 200, 0.5),
        (1000, 1000, 0.3),
        (10_000, 20_000, 0.05),
    ):
        case, random, found = Case("", reference, size, normal(10)), np.random.default_rng(size), 0
        for _ in range(replicates if size < 10_000 else max(1, replicates // 10)):
            first, *rest = case.draw(random, size)
            found += "c0" in _compared(random, case, [replace(first, values=first.values + by), *rest]).drifted
        done = replicates if size < 10_000 else max(1, replicates // 10)
        rows.append((f"{by} sd", str(reference), str(size), _share(found, done)))
    columns = ("one of 10 columns moved by", "rows of the profile", "of the window", "called a drift")
    return Table("windows with drift; 0.05 sd is certain at 20,000 rows, and too small to matter", columns, tuple(rows))


def _alerts(plan: Plan) -> Table:
    series, length, rows = (2 if plan.quick else SERIES), (5 if plan.quick else LENGTH), []
    for case in (CASES[1], CASES[4]):
        random, alerts, windows = np.random.default_rng(case.rows), 0, 0
        for _ in range(series):
            made, standing = _profile(random, case), AlertState()
            for _ in range(length):
                found = _compared(random, case, case.draw(random, case.rows), made).drifted
                before, standing = standing, Hysteresis().step(standing, found)
                windows += bool(found)
                alerts += bool(set(standing.alerting) - set(before.alerting))
        total = series * length
        rows.append(
            (case.name, str(case.reference), str(case.rows), _share(windows, total), f"{alerts} in {total} windows")
        )
    columns = ("columns", "rows of the profile", "of the window", "windows called a drift", "alerts")
    return Table(f"{length} windows in a row against one profile, without drift", columns, tuple(rows))


def _share(count: int, of: int) -> str:
    return f"{count} of {of} ({count / of:.2%})"
