"""The findings of a monitor as metrics and as lines of the log."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from mlpatterns.predictor import Runtime
from mlpatterns.stores.monitor import Window

__all__ = ["MonitorMetrics"]

log = logging.getLogger("mlpatterns")

MOST_COLUMNS = 100  # the most columns that have metrics


class MonitorMetrics:
    """The metrics of one monitor; a gauge has the value of the last window."""

    def __init__(self, runtime: Runtime) -> None:
        self._metrics, self._path = runtime.metrics, runtime.path
        self._columns: set[str] = set()

    def show(self, window: Window) -> None:
        """Counts a window, and logs it: an alert as an error, other findings as information."""
        metrics, path, version = self._metrics, self._path, window.version
        result = "unprofiled" if window.remark else "drifted" if window.found else "quiet"
        metrics.counter(
            "mlpatterns_monitor_windows_total", "Windows that a monitor judged.", piece=path, result=result
        ).inc()
        metrics.counter("mlpatterns_monitor_rows_total", "Rows in them.", piece=path).inc(window.rows)
        metrics.gauge(
            "mlpatterns_monitor_alerting", "What a monitor alerts of: columns, outliers, quality.", workers="newest",
            piece=path, version=version,
        ).set(len(window.alerting))  # fmt: skip
        metrics.gauge(
            "mlpatterns_monitor_last_window_timestamp_seconds", "The end of the window that was judged last.",
            workers="newest", piece=path,
        ).set(window.ended)  # fmt: skip
        if window.judged:
            metrics.gauge(
                "mlpatterns_monitor_outlier_share", "The share of outliers in the last window.", workers="newest",
                piece=path, version=version,
            ).set(window.outliers / window.judged)  # fmt: skip
        if window.labelled:
            metrics.gauge(
                "mlpatterns_monitor_accuracy", "The share of predictions that their late labels say were right.",
                workers="newest", piece=path, version=version,
            ).set(window.right / window.labelled)  # fmt: skip
        self._show_columns(window)
        self._log(window)

    def _show_columns(self, window: Window) -> None:
        for field in window.drift.fields if window.drift else ():
            if field.name not in self._columns and len(self._columns) >= MOST_COLUMNS:
                continue
            self._columns.add(field.name)
            for name, value in (("psi", field.psi), ("ks", field.ks)):
                if value is not None:
                    self._metrics.gauge(
                        "mlpatterns_monitor_effect", "How far a column is from its profile: PSI, KS distance.",
                        workers="newest", piece=self._path, version=window.version, column=field.name, effect=name,
                    ).set(value)  # fmt: skip

    def _log(self, window: Window) -> None:
        what = f"{self._path}, {window.model}:{window.version}"
        log.info("%s: window %s to %s, %d logs, %d rows", what, _time(window.began), _time(window.ended),
                 window.records, window.rows)  # fmt: skip
        for name, average in window.averages.items():
            log.info("%s: average %s: %.2f", what, name, average)
        if window.judged:
            log.info("%s: outliers: %d", what, window.outliers)
        if window.remark:
            log.info("%s: %s", what, window.remark)
        for detail in window.details:
            (log.error if window.alerting else log.warning)("%s: %s", what, detail)
        if window.raised:
            log.error("%s: alert: %s drifted", what, ", ".join(window.raised))
        if window.cleared:
            log.info("%s: alert ended: %s", what, ", ".join(window.cleared))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
