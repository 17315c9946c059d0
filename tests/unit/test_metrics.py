"""Metrics: one process, several processes, dead ones."""

from __future__ import annotations

import subprocess
import sys
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.interfaces import BUCKETS
from mlpatterns.metrics import CAPACITY, Family, MetricRegistry, Sample

WORKER = """
import sys
from pathlib import Path
from mlpatterns.metrics import MetricRegistry

metrics = MetricRegistry(Path(sys.argv[1]))
metrics.counter("requests_total", "Requests.", model="m").inc(float(sys.argv[2]))
metrics.gauge("in_flight", "Now.").set(float(sys.argv[2]))
metrics.gauge("last", "Moment.", workers="newest").set(float(sys.argv[2]))
metrics.gauge("state", "State.", workers="max").set(float(sys.argv[2]))
metrics.histogram("seconds", "Time.").observe(float(sys.argv[2]))
metrics.counter("only_total", "Of one.", worker=sys.argv[2]).inc()
print("ready", flush=True)
sys.stdin.readline()
"""


def values(registry: MetricRegistry) -> dict[str, list[float]]:
    return {
        sample.family.name: sample.values for sample in registry.samples() if not sample.family.name.startswith("only")
    }


def worker(folder: Path, amount: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(amount)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_a_name_stands_for_one_kind() -> None:
    metrics = MetricRegistry()
    metrics.counter("x", "A counter.", a="1")
    with pytest.raises(ValueError, match="is a counter already"):
        metrics.histogram("x", "A histogram.", a="2")


def test_counters_gauges_and_histograms_say_what_was_put_into_them() -> None:
    metrics = MetricRegistry()
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
    metrics = MetricRegistry()
    assert metrics.counter("c", "A counter.", a="1", b="2") is metrics.counter("c", "A counter.", b="2", a="1")
    metrics.counter("c", "A counter.", a="2", b="2").inc()
    assert [sample.labels for sample in metrics.samples()] == [
        (("a", "1"), ("b", "2")),
        (("a", "2"), ("b", "2")),
    ]


def test_each_registry_counts_for_itself() -> None:
    one, other = MetricRegistry(), MetricRegistry()
    one.counter("c", "A counter.").inc()
    assert other.samples() == []


@given(st.lists(st.floats(0, 1e6, allow_nan=False)))
def test_a_histogram_counts_every_observation_in_the_first_bucket_that_holds_it(observed: list[float]) -> None:
    metrics = MetricRegistry()
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
    metrics = MetricRegistry()
    metrics._used = CAPACITY - 1
    metrics.counter("c", "A counter.", user="0")
    with pytest.raises(RuntimeError, match="a label of 'c' takes too many values"):
        metrics.counter("c", "A counter.", user="1")


def test_the_sums_over_two_live_processes_and_this_one_are_right(tmp_path: Path) -> None:
    first, second = worker(tmp_path, 2.0), worker(tmp_path, 3.0)
    try:
        here = MetricRegistry(tmp_path)
        here.counter("requests_total", "Requests.", model="m").inc()
        found = values(here)
        assert found["requests_total"] == [6.0]
        assert found["in_flight"] == [5.0]
        assert found["last"] == [3.0], "the second process set it last"
        assert found["state"] == [3.0]
        assert found["seconds"][-1] == 5.0
        assert sum(found["seconds"][:-1]) == 2.0
        only = [sample for sample in here.samples() if sample.family.name == "only_total"]
        assert [(sample.labels, sample.values) for sample in only] == [
            ((("worker", "2.0"),), [1.0]),
            ((("worker", "3.0"),), [1.0]),
        ]
    finally:
        end(first)
        end(second)


def test_a_worker_that_died_keeps_its_counters_and_loses_its_gauges(tmp_path: Path) -> None:
    alive = worker(tmp_path, 3.0)
    dead = worker(tmp_path, 4.0)
    try:
        end(dead)
        found = values(MetricRegistry(tmp_path))
        assert found["requests_total"] == [7.0]
        assert found["in_flight"] == [3.0]
        assert found["state"] == [3.0]
        assert found["last"] == [4.0], "what was set last, whoever set it"
        assert found["seconds"][-1] == 7.0
    finally:
        end(alive)


def test_a_histogram_has_bounds_of_its_own_and_they_ascend() -> None:
    metrics = MetricRegistry()
    rows = metrics.histogram("rows", "Rows of a batch.", bounds=(1, 8, 32))
    for count in (1, 2, 9, 100):
        rows.observe(count)
    assert values(metrics)["rows"] == [1.0, 1.0, 1.0, 1.0, 112.0]
    with pytest.raises(ValueError, match="must ascend"):
        metrics.histogram("other", "Other.", bounds=(2, 1))
    with pytest.raises(ValueError, match="is a histogram already"):
        metrics.histogram("rows", "Rows of a batch.", bounds=(1, 2))


def test_samples_come_in_the_order_of_names_and_labels_with_their_help() -> None:
    metrics = MetricRegistry()
    metrics.gauge("b", "Second.")
    metrics.counter("a", "First.", x="2")
    metrics.counter("a", "First.", x="1")
    assert metrics.samples() == [
        Sample(Family("a", "counter", "First."), (("x", "1"),), [0.0]),
        Sample(Family("a", "counter", "First."), (("x", "2"),), [0.0]),
        Sample(Family("b", "gauge", "Second."), (), [0.0]),
    ]
