"""The metrics of one process."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.interfaces import BUCKETS
from mlpatterns.metrics import Family, MetricSample, ProcessMetrics, process_metrics, share_metrics
from mlpatterns.metrics.process import INCOMPLETE
from mlpatterns.metrics.table import CAPACITY


def values(registry: ProcessMetrics) -> dict[str, list[float]]:
    return {
        sample.family.name: sample.values for sample in registry.samples() if not sample.family.name.startswith("only")
    }


def test_a_name_stands_for_one_kind() -> None:
    metrics = ProcessMetrics()
    metrics.counter("x", "A counter.", a="1")
    with pytest.raises(ValueError, match="is a counter already"):
        metrics.histogram("x", "A histogram.", a="2")


def test_counters_gauges_and_histograms_say_what_was_put_into_them() -> None:
    metrics = ProcessMetrics()
    metrics.counter("c", "A counter.").inc()
    metrics.counter("c", "A counter.").inc(2.5)
    gauge = metrics.gauge("g", "A gauge.")
    gauge.set(5.0)
    gauge.inc(-2.0)
    histogram = metrics.histogram("h", "A histogram.")
    for seconds in (0.0001, 0.00011, 100.0):
        histogram.observe(seconds)
    found = values(metrics)
    assert found["c"] == [3.5]
    assert found["g"] == [3.0]
    assert found["h"][:2] == [1.0, 1.0]
    assert found["h"][len(BUCKETS)] == 1.0
    assert found["h"][-1] == pytest.approx(100.00021)


def test_the_same_name_and_labels_are_the_same_series_and_other_labels_are_another() -> None:
    metrics = ProcessMetrics()
    assert metrics.counter("c", "A counter.", a="1", b="2") is metrics.counter("c", "A counter.", b="2", a="1")
    metrics.counter("c", "A counter.", a="2", b="2").inc()
    assert [sample.labels for sample in metrics.samples()] == [
        (("a", "1"), ("b", "2")),
        (("a", "2"), ("b", "2")),
    ]


def test_each_registry_counts_for_itself() -> None:
    one, other = ProcessMetrics(), ProcessMetrics()
    one.counter("c", "A counter.").inc()
    assert other.samples() == []


@given(st.lists(st.floats(0, 1e6, allow_nan=False)))
def test_a_histogram_counts_every_observation_in_the_first_bucket_that_holds_it(observed: list[float]) -> None:
    metrics = ProcessMetrics()
    histogram = metrics.histogram("h", "A histogram.")
    for value in observed:
        histogram.observe(value)
    (sample,) = metrics.samples()
    counts, total = sample.values[:-1], sample.values[-1]
    assert sum(counts) == len(observed)
    for position in range(len(BUCKETS) + 1):
        assert counts[position] == sum(bisect_left(BUCKETS, value) == position for value in observed)
    assert sum(counts[:-1]) == sum(value <= BUCKETS[-1] for value in observed)
    assert total == pytest.approx(sum(observed))


def test_a_label_that_takes_too_many_values_fails_with_a_sentence() -> None:
    metrics = ProcessMetrics()
    for user in range(CAPACITY):
        metrics.counter("c", "A counter.", user=str(user))
    with pytest.raises(RuntimeError, match="a label of 'c' takes too many values"):
        metrics.counter("c", "A counter.", user="one more")


def test_an_app_that_starts_counts_for_itself_outside_of_a_supervisor() -> None:
    assert process_metrics() is not process_metrics()
    assert process_metrics().samples() == []


def test_a_worker_that_could_not_share_says_that_its_metrics_are_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpatterns.metrics.process._Process.incomplete", False)  # restored afterwards
    share_metrics(None)
    assert [(sample.family.name, sample.values) for sample in process_metrics().samples()] == [(INCOMPLETE, [1.0])]


def test_a_histogram_has_bounds_of_its_own_and_they_ascend() -> None:
    metrics = ProcessMetrics()
    rows = metrics.histogram("rows", "Rows of a batch.", bounds=(1, 8, 32))
    for count in (1, 2, 9, 100):
        rows.observe(count)
    assert values(metrics)["rows"] == [1.0, 1.0, 1.0, 1.0, 112.0]
    with pytest.raises(ValueError, match="must ascend"):
        metrics.histogram("other", "Other.", bounds=(2, 1))
    with pytest.raises(ValueError, match="is a histogram already"):
        metrics.histogram("rows", "Rows of a batch.", bounds=(1, 2))


def test_samples_come_in_the_order_of_names_and_labels_with_their_help() -> None:
    metrics = ProcessMetrics()
    metrics.gauge("b", "Second.")
    metrics.counter("a", "First.", x="2")
    metrics.counter("a", "First.", x="1")
    assert metrics.samples() == [
        MetricSample(Family("a", "counter", "First."), (("x", "1"),), [0.0]),
        MetricSample(Family("a", "counter", "First."), (("x", "2"),), [0.0]),
        MetricSample(Family("b", "gauge", "Second."), (), [0.0]),
    ]
