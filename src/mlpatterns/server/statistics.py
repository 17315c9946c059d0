"""How often a model was asked, and where the time went: measured for every request, added up over all workers."""

from __future__ import annotations

from collections.abc import Iterable
from time import time
from typing import Any, Protocol

from mlpatterns.metadata import ModelMetadata
from mlpatterns.metrics import MetricRegistry, Sample
from mlpatterns.predictor import Predictor
from mlpatterns.runtime.tree import placed

__all__ = ["Statistics", "Totals", "model_statistics"]

REQUESTS, ROWS = "mlpatterns_model_requests_total", "mlpatterns_model_rows_total"
SECONDS, LAST = "mlpatterns_model_seconds_total", "mlpatterns_model_last_inference_timestamp_seconds"
QUEUED, INFERENCE = "mlpatterns_limit_queued_seconds_total", "mlpatterns_inference_seconds"


class Measured(Protocol):
    """A served model, as far as statistics know it; see hosting.Hosted."""

    name: str
    path: str

    @property
    def limit_path(self) -> str: ...
    @property
    def model(self) -> Predictor | None: ...
    def described(self) -> ModelMetadata: ...


class Statistics:
    """What one model was asked. The cells are written to directly: a request pays for these lines."""

    __slots__ = ("_answered", "_decode", "_encode", "_failed", "_failing", "_last", "_predict", "_rows")

    def __init__(self, piece: str, registry: MetricRegistry) -> None:
        said = "Inference requests that reached the model."
        self._answered = registry.counter(REQUESTS, said, piece=piece, end="answered").cells
        self._failed = registry.counter(REQUESTS, said, piece=piece, end="failed").cells
        self._rows = registry.counter(ROWS, "Rows that were answered.", piece=piece).cells
        said = "Time spent on inference requests: reading, in the model, writing; and those that failed."
        self._decode = registry.counter(SECONDS, said, piece=piece, part="decode").cells
        self._predict = registry.counter(SECONDS, said, piece=piece, part="predict").cells
        self._encode = registry.counter(SECONDS, said, piece=piece, part="encode").cells
        self._failing = registry.counter(SECONDS, said, piece=piece, part="failed").cells
        self._last = registry.gauge(LAST, "When the model last answered.", workers="newest", piece=piece)

    def answered(self, rows: int, began: float, asked: float, answered: float, ended: float) -> None:
        """A request was read from `began` on, put to the model at `asked`, and its answer written by `ended`."""
        self._answered[0] += 1.0
        self._rows[0] += rows
        self._decode[0] += asked - began
        self._predict[0] += answered - asked
        self._encode[0] += ended - answered
        self._last.set(time())

    def failed(self, seconds: float) -> None:
        """It ended in an error `seconds` after it was put to the model, or was given up."""
        self._failed[0] += 1.0
        self._failing[0] += seconds


class Totals:
    """The sums over all workers at one moment."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = list(samples)

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series of `name` that have these labels; of a histogram, the number of its observations."""
        wanted = set(labels.items())
        found = [sample for sample in self._samples if sample.family.name == name and wanted <= set(sample.labels)]
        return sum(sum(one.values[:-1]) if one.family.kind == "histogram" else one.values[0] for one in found)


def model_statistics(hosted: Measured, totals: Totals) -> dict[str, Any]:
    """One entry of `model_stats`: Triton's fields, times in nanoseconds, `last_inference` in milliseconds."""
    piece = hosted.path
    answered, failed = (totals.value(REQUESTS, piece=piece, end=end) for end in ("answered", "failed"))
    parts = {part: totals.value(SECONDS, piece=piece, part=part) for part in ("decode", "predict", "encode", "failed")}
    queued = min(totals.value(QUEUED, piece=hosted.limit_path), parts["predict"])
    success = parts["decode"] + parts["predict"] + parts["encode"]
    return {
        "name": hosted.name,
        "version": hosted.described().version,
        "last_inference": int(1000 * totals.value(LAST, piece=piece)),
        "inference_count": int(totals.value(ROWS, piece=piece)),
        "execution_count": _executions(hosted, totals, answered),
        "inference_stats": {
            "success": _duration(answered, success),
            "fail": _duration(failed, parts["failed"]),
            "queue": _duration(answered, queued),
            "compute_input": _duration(answered, parts["decode"]),
            "compute_infer": _duration(answered, parts["predict"] - queued),
            "compute_output": _duration(answered, parts["encode"]),
        },
        "batch_stats": [],
    }


def _executions(hosted: Measured, totals: Totals, answered: float) -> int:
    """Calls of the model itself where it is one and measures itself: a batcher makes fewer than it is asked for."""
    pieces = [] if hosted.model is None else placed([(hosted.path, hosted.model)])
    leaves = [path for path, piece in pieces if not piece.children]
    calls = totals.value(INFERENCE, piece=leaves[0]) if len(leaves) == 1 else 0.0
    return int(calls or answered)


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": round(seconds * 1e9)}
