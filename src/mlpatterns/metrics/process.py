"""The metrics of one process, as an app updates and reads them."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

from mlpatterns.interfaces import BUCKETS, Workers
from mlpatterns.metrics.series import CellSeries, Family, MetricSample, combined
from mlpatterns.metrics.shared import SharedMetrics
from mlpatterns.metrics.table import CAPACITY, SeriesTable

__all__ = ["INCOMPLETE", "ProcessMetrics", "process_metrics", "share_metrics"]

INCOMPLETE = "mlpatterns_metrics_incomplete"


class ProcessMetrics:
    """The metrics of one process; implements interfaces.Metrics.

    Args:
        shared: the memory that this process shares with other processes; `samples` then adds up the metrics of all of
            them. (default: none)
        process: the number of this process in the shared memory.
    """

    def __init__(self, shared: SharedMetrics | None = None, process: int = 0) -> None:
        self._shared = shared
        if shared is None:
            self._table = SeriesTable(memoryview(mmap.mmap(-1, CAPACITY * 8)).cast("d"), lambda *_: None)
        else:
            self._table = shared.table(process)

    def counter(self, name: str, help: str, **labels: str) -> CellSeries:
        return self._series(Family(name, "counter", help), labels)

    def gauge(self, name: str, help: str, *, workers: Workers = "sum", **labels: str) -> CellSeries:
        return self._series(Family(name, "gauge", help, workers), labels)

    def histogram(self, name: str, help: str, *, bounds: Sequence[float] = BUCKETS, **labels: str) -> CellSeries:
        """
        Raises:
            ValueError: the bounds do not ascend.
        """
        if list(bounds) != sorted(set(bounds)):
            raise ValueError(f"the bounds of {name!r} must ascend")
        return self._series(Family(name, "histogram", help, bounds=tuple(bounds)), labels)

    def samples(self) -> list[MetricSample]:
        """Every series, combined over the processes that share the memory; ordered by name and labels."""
        samples = combined(self._table.samples()) if self._shared is None else self._shared.samples()
        for sample in samples:
            if sample.family.workers == "newest":
                del sample.values[1:]  # the time when it was set
        return samples

    def _series(self, family: Family, labels: dict[str, str]) -> CellSeries:
        return self._table.series(family, tuple(sorted(labels.items())))


class _Process:
    """The registry that all apps of this process use if it shares its metrics with other processes."""

    shared: ProcessMetrics | None = None
    incomplete = False


def share_metrics(shared: SharedMetrics | None, process: int = 0) -> None:
    """Makes the apps that start from now on in this process record their metrics in shared memory.

    Args:
        shared: the shared memory; None if there are other processes, but no memory could be shared with them. Then
            `mlpatterns_metrics_incomplete` is 1.
        process: the number of this process in the shared memory.
    """
    _Process.shared = None if shared is None else ProcessMetrics(shared, process)
    _Process.incomplete = shared is None


def process_metrics() -> ProcessMetrics:
    """The metrics for an app that starts: the shared ones if its process shares its metrics, else new ones."""
    if _Process.shared is not None:
        return _Process.shared
    metrics = ProcessMetrics()
    if _Process.incomplete:
        metrics.gauge(INCOMPLETE, "1 where /metrics is of one worker alone, as no memory could be shared.").set(1.0)
    return metrics
