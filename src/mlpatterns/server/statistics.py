"""Counts the requests of a model and measures their times. `/metrics` combines the numbers of all workers."""

from __future__ import annotations

from time import time

from mlpatterns.metrics import ProcessMetrics

__all__ = ["INFERENCE", "LAST", "QUEUED", "REQUESTS", "ROWS", "SECONDS", "Statistics"]

REQUESTS, ROWS = "mlpatterns_model_requests_total", "mlpatterns_model_rows_total"
SECONDS, LAST = "mlpatterns_model_seconds_total", "mlpatterns_model_last_inference_timestamp_seconds"
QUEUED, INFERENCE = "mlpatterns_limit_queued_seconds_total", "mlpatterns_inference_seconds"


class Statistics:
    """Counts and times of the requests of one model. For speed, it writes the metric cells directly."""

    __slots__ = ("_answered", "_decode", "_encode", "_failed", "_failing", "_last", "_predict", "_rows")

    def __init__(self, piece: str, metrics: ProcessMetrics) -> None:
        said = "Inference requests that reached the model."
        self._answered = metrics.counter(REQUESTS, said, piece=piece, end="answered").cells
        self._failed = metrics.counter(REQUESTS, said, piece=piece, end="failed").cells
        self._rows = metrics.counter(ROWS, "Rows that were answered.", piece=piece).cells
        said = "Time spent on inference requests: reading, in the model, writing; and those that failed."
        self._decode = metrics.counter(SECONDS, said, piece=piece, part="decode").cells
        self._predict = metrics.counter(SECONDS, said, piece=piece, part="predict").cells
        self._encode = metrics.counter(SECONDS, said, piece=piece, part="encode").cells
        self._failing = metrics.counter(SECONDS, said, piece=piece, part="failed").cells
        self._last = metrics.gauge(LAST, "When the model last answered.", workers="newest", piece=piece)

    def answered(self, rows: int, began: float, asked: float, answered: float, ended: float) -> None:
        """Counts an answered request with `rows` rows. All times are monotonic seconds.

        Args:
            began: when the server began to decode the request.
            asked: when the model got it.
            answered: when the model answered.
            ended: when the answer was encoded.
        """
        self._answered[0] += 1.0
        self._rows[0] += rows
        self._decode[0] += asked - began
        self._predict[0] += answered - asked
        self._encode[0] += ended - answered
        self._last.set(time())

    def failed(self, seconds: float) -> None:
        """Counts a request that failed or was abandoned `seconds` after the model got it."""
        self._failed[0] += 1.0
        self._failing[0] += seconds
