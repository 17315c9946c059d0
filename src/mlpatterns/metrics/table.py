"""The series of one process, and which cells of its memory each of them uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlpatterns.metrics.series import CellSeries, Family, Labels, MetricSample, NewestSeries

__all__ = ["CAPACITY", "SeriesTable"]

CAPACITY = 65_536  # doubles for each process, enough for 3,400 histograms; memory is allocated only as it is used


class SeriesTable:
    """Assigns cells to each series, one series after the other.

    Aligned 8-byte stores do not tear on x86-64 and arm64, so the one process that writes and the processes that read
    need no lock. Update a series on the event loop's thread only.

    Args:
        cells: `CAPACITY` doubles, all zero.
        added: called with each new series, in the order of their cells. It raises RuntimeError if it has no space.
    """

    def __init__(self, cells: memoryview[float], added: Callable[[Family, Labels], None]) -> None:
        self._cells, self._added, self._used = cells, added, 0
        self._families: dict[str, Family] = {}
        self._series: dict[tuple[str, Labels], CellSeries] = {}

    def series(self, family: Family, labels: Labels) -> CellSeries:
        """The series with these labels, which is created if it does not exist.

        Raises:
            ValueError: a family of this name has another kind, other bounds or another value of `workers`.
            RuntimeError: there is no space for another series.
        """
        known = self._families.setdefault(family.name, family)
        if not known.adds_up_with(family):
            raise ValueError(f"{family.name!r} is a {known.kind} already, and cannot also be another {family.kind}")
        key = family.name, labels
        if key not in self._series:
            used = self._used + family.width
            if used > CAPACITY:
                raise RuntimeError(
                    f"more than {CAPACITY} metric cells: a label of {family.name!r} takes too many values"
                )
            self._added(known, labels)
            made = NewestSeries if family.workers == "newest" else CellSeries
            self._series[key] = made(self._cells[self._used : used], family.bounds)
            self._used = used
        return self._series[key]

    def samples(self) -> Iterator[MetricSample]:
        """All series of this process, in the order of their creation. The values of each are all its cells."""
        for (name, labels), series in self._series.items():
            yield MetricSample(self._families[name], labels, list(series.cells))
