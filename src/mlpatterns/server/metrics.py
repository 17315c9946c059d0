"""`/metrics`: the metrics of all workers together, as Prometheus text or OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from mlpatterns.metrics import MetricSample, ProcessMetrics
from mlpatterns.server.exchange import Answer, Call, Handler

__all__ = ["exposition", "metrics_handler"]


def metrics_handler(metrics: ProcessMetrics) -> Handler:
    """The handler of `/metrics`. Every worker answers with the metrics of all workers."""

    async def answer(call: Call) -> Answer:
        content_type, body = exposition(metrics, call.headers.get(b"accept", b"").decode("latin-1"))
        return Answer(body, ((b"content-type", content_type.encode()),))

    return answer


def exposition(metrics: ProcessMetrics, accept: str = "") -> tuple[str, bytes]:
    """Returns (content type, body) in the format that the header `accept` selects: Prometheus text or OpenMetrics."""
    from prometheus_client.exposition import choose_encoder

    encoder, content_type = choose_encoder(accept)
    return content_type, encoder(Families(metrics))


class Families:
    """Adapts ProcessMetrics to the interface that the encoders of prometheus-client read."""

    def __init__(self, metrics: ProcessMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
        for name, group in groupby(self._metrics.samples(), lambda sample: sample.family.name):
            first, *others = group
            labels = [label for label, _ in first.labels]
            family = kinds[first.family.kind](name.removesuffix("_total"), first.family.help, labels=labels)
            for sample in (first, *others):
                _add(family, sample)
            yield family


def _add(family: Any, sample: MetricSample) -> None:
    labels = [value for _, value in sample.labels]
    if sample.family.kind != "histogram":
        family.add_metric(labels, sample.values[0])
        return
    counts, total = [], 0.0
    for bound, count in zip((*map(str, sample.family.bounds), "+Inf"), sample.values, strict=False):
        total += count
        counts.append((bound, total))
    family.add_metric(labels, counts, sample.values[-1])
