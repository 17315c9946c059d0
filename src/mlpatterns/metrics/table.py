"""The series of one process: where each lies in its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlpatterns.metrics.series import CellSeries, Family, Labels, MetricSample, NewestSeries

__all__ = ["CAPACITY", "SeriesTable"]

CAPACITY = 65_536  # doubles a process: 3,400 histograms; memory is taken only as they are used


class SeriesTable:
    """Gives each series its cells, one after the other.

    Aligned 8-byte stores do not tear on x86-64 and arm64, so no lock is needed between the one process that writes and
    those that read. Update a series on the event loop's thread only.

    Args:
        cells: `CAPACITY` doubles, all zero.
        added: called with each new series, in the order of their cells. It raises RuntimeError when it has no room.
    """

    def __init__(self, cells: memoryview[float], added: Callable[[Family, Labels], None]) -> None:
        self._cells, self._added, self._used = cells, added, 0
        self._families: dict[str, Family] = {}
        self._series: dict[tuple[str, Labels], CellSeries] = {}

    def series(self, family: Family, labels: Labels) -> CellSeries:
        """The series of these labels, made if there is none.

        Raises:
            ValueError: a family of this name has another kind or other bounds.
            RuntimeError: there is no room for another series.
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
        """All series of this process, in the order in which they were made; the values are their cells."""
        for (name, labels), series in self._series.items():
            yield MetricSample(self._families[name], labels, list(series.cells))
