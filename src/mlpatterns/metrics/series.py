"""One labelled series, the family it belongs to, and how the values of several processes are combined into one."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from mlpatterns.interfaces import Workers

__all__ = ["CellSeries", "Family", "Kind", "Labels", "MetricSample", "NewestSeries", "combined"]

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]


class Family(Struct, frozen=True):
    """What all series of one name have in common.

    Attributes:
        workers: how the values of several processes are combined into one.
        bounds: the upper bounds of a histogram's buckets, ascending.
    """

    name: str
    kind: Kind
    help: str
    workers: Workers = "sum"
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """The number of doubles that a series takes. A histogram takes one for each bucket, one for +Inf and one for
        the sum. A `newest` gauge takes its value and the time when it was set. Any other series takes one."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 2 if self.workers == "newest" else 1

    @property
    def outlives_its_process(self) -> bool:
        """Whether the values of a process that ended still count."""
        return self.kind != "gauge" or self.workers == "newest"

    def adds_up_with(self, other: Family) -> bool:
        """Whether values of both can be combined: the kind, `workers` and bounds must be equal."""
        return (self.kind, self.workers, self.bounds) == (other.kind, other.workers, other.bounds)


class MetricSample(Struct):
    """The values of one series: of one process, or of several.

    Attributes:
        values: one number; for a histogram the count of each bucket, that of +Inf, and the sum of all observations.
    """

    family: Family
    labels: Labels
    values: list[float]


class CellSeries:
    """One labelled series; see interfaces.MetricSeries.

    Attributes:
        cells: the doubles in memory that hold its values.
    """

    __slots__ = ("_bounds", "cells")

    def __init__(self, cells: memoryview[float], bounds: tuple[float, ...]) -> None:
        self.cells, self._bounds = cells, bounds

    @property
    def value(self) -> float:
        return self.cells[0]

    def inc(self, amount: float = 1.0) -> None:
        self.cells[0] += amount

    def set(self, value: float) -> None:
        self.cells[0] = value

    def observe(self, value: float) -> None:
        cells = self.cells
        cells[bisect_left(self._bounds, value)] += 1.0
        cells[-1] += value


class NewestSeries(CellSeries):
    """A gauge of which the value that any process set last counts."""

    __slots__ = ()

    def set(self, value: float) -> None:
        self.cells[1] = time.time()
        self.cells[0] = value


def combined(samples: Iterable[MetricSample]) -> list[MetricSample]:
    """Combines the samples of several processes into one sample for each series, ordered by name and labels.

    Where two processes define a family differently, as before and after an upgrade, the last definition counts.

    Args:
        samples: the samples of all processes, ordered by the start of the process. The values of each are all cells of
            its series.
    """
    families: dict[str, Family] = {}
    found: dict[tuple[str, Labels], list[MetricSample]] = {}
    for sample in samples:
        families[sample.family.name] = sample.family
        found.setdefault((sample.family.name, sample.labels), []).append(sample)
    made = []
    for (name, labels), same in sorted(found.items(), key=lambda item: item[0]):
        family = families[name]
        if values := [each.values for each in same if each.family.adds_up_with(family)]:
            made.append(MetricSample(family, labels, _merged(family, values)))
    return made


def _merged(family: Family, values: Sequence[list[float]]) -> list[float]:
    if family.workers == "newest":
        return max(values, key=lambda cells: cells[1])
    if family.workers == "max":
        return max(values)
    return [sum(cells) for cells in zip(*values, strict=True)]
