"""The metrics of several processes: their sums, those of processes that ended, and what the next one finds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.launch.shared_memory import shared_memory
from mlpatterns.metrics import ProcessMetrics, SharedMetrics
from mlpatterns.metrics.shared import INDEX

PROCESSES = 4
WORKER = """
import sys
from mlpatterns.metrics import ProcessMetrics, SharedMetrics

file, processes, number, amount = map(int, sys.argv[1:])
metrics = ProcessMetrics(SharedMetrics(file, processes), number)
metrics.counter("requests_total", "Requests.", model="m").inc(amount)
metrics.gauge("in_flight", "Now.").set(amount)
metrics.gauge("last", "Moment.", workers="newest").set(amount)
metrics.gauge("state", "State.", workers="max").set(amount)
metrics.histogram("seconds", "Time.").observe(amount)
metrics.counter("only_total", "Of one.", worker=sys.argv[4]).inc()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def file() -> Iterator[int]:
    file = shared_memory(SharedMetrics.size(PROCESSES))
    yield file
    os.close(file)


def worker(file: int, number: int, amount: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, (file, PROCESSES, number, amount))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[file],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def joined(file: int, number: int) -> ProcessMetrics:
    """As a process of its own would: over a mapping of its own."""
    return ProcessMetrics(SharedMetrics(file, PROCESSES), number)


def values(metrics: ProcessMetrics) -> dict[str, list[float]]:
    return {one.family.name: one.values for one in metrics.samples() if one.family.name != "only_total"}


def test_the_sums_over_two_live_processes_and_this_one_are_right(file: int) -> None:
    first, second = worker(file, 1, 2), worker(file, 2, 3)
    try:
        here = joined(file, 0)
        here.counter("requests_total", "Requests.", model="m").inc()
        found = values(here)
        assert found["requests_total"] == [6.0]
        assert found["in_flight"] == [5.0]
        assert found["last"] == [3.0], "the second process set it last"
        assert found["state"] == [3.0]
        assert found["seconds"][-1] == 5.0
        assert sum(found["seconds"][:-1]) == 2.0
        only = [sample for sample in here.samples() if sample.family.name == "only_total"]
        assert [(one.labels, one.values) for one in only] == [((("worker", "2"),), [1.0]), ((("worker", "3"),), [1.0])]
    finally:
        end(first)
        end(second)


def test_a_process_that_ended_keeps_its_counters_and_loses_its_gauges(file: int) -> None:
    supervisor = SharedMetrics(file, PROCESSES)
    alive, dead = worker(file, 0, 3), worker(file, 1, 4)
    try:
        end(dead)
        supervisor.fold(1)
        found = values(joined(file, 2))
        assert found["requests_total"] == [7.0]
        assert found["in_flight"] == [3.0]
        assert found["state"] == [3.0]
        assert found["last"] == [4.0], "what was set last, whoever set it"
        assert found["seconds"][-1] == 7.0
    finally:
        end(alive)


def test_the_next_process_of_the_same_number_inherits_nothing_and_the_sums_stay(file: int) -> None:
    supervisor = SharedMetrics(file, PROCESSES)
    for life in range(1, 6):
        metrics = joined(file, 1)
        assert metrics.gauge("in_flight", "Now.").value == 0.0
        assert metrics.counter("requests_total", "Requests.").value == 0.0
        metrics.gauge("in_flight", "Now.").set(5.0)
        metrics.counter("requests_total", "Requests.").inc(2.0)
        metrics.histogram("seconds", "Time.", model=str(life % 2)).observe(1.0)
        assert values(metrics)["requests_total"] == [2.0 * life]
        assert values(metrics)["in_flight"] == [5.0]
        supervisor.fold(1)
    here = joined(file, 0)
    assert values(here)["requests_total"] == [10.0]
    assert "in_flight" not in values(here)
    assert sorted(sum(s.values[:-1]) for s in here.samples() if s.family.name == "seconds") == [2.0, 3.0]


@given(st.lists(st.tuples(st.integers(0, PROCESSES - 1), st.integers(1, 100), st.booleans()), max_size=25))
def test_no_count_is_lost_or_doubled_in_whatever_order_processes_count_and_end(
    steps: list[tuple[int, int, bool]],
) -> None:
    file = shared_memory(SharedMetrics.size(PROCESSES))
    try:
        supervisor = SharedMetrics(file, PROCESSES)
        alive = {number: ProcessMetrics(supervisor, number) for number in range(PROCESSES)}
        for number, amount, ends in steps:
            alive[number].counter("c", "A counter.").inc(amount)
            if ends:
                supervisor.fold(number)
                alive[number] = ProcessMetrics(supervisor, number)
        assert sum(sum(sample.values) for sample in supervisor.samples()) == sum(amount for _, amount, _ in steps)
    finally:
        os.close(file)


def test_a_reader_sees_each_count_once_while_processes_are_folded(file: int) -> None:
    reader, supervisor = SharedMetrics(file, PROCESSES), SharedMetrics(file, PROCESSES)
    joined(file, 0).counter("c", "A counter.").inc()
    wrong: list[float] = []
    done = threading.Event()

    def read() -> None:
        before = 1.0
        while not done.is_set():
            (sample,) = reader.samples()
            if not before <= sample.values[0]:
                wrong.append(sample.values[0])
            before = sample.values[0]

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(200):
        joined(file, 1).counter("c", "A counter.").inc()
        supervisor.fold(1)
    done.set()
    thread.join()
    assert wrong == []
    assert reader.samples()[0].values == [201.0]


def test_after_an_upgrade_the_new_definition_of_a_family_counts(file: int) -> None:
    """Buckets of other bounds cannot be added up; those of the processes before are left out."""
    supervisor = SharedMetrics(file, PROCESSES)
    joined(file, 0).histogram("seconds", "Time.", bounds=(1, 2)).observe(1.0)
    supervisor.fold(0)
    new = joined(file, 1)
    new.histogram("seconds", "Time.", bounds=(5,)).observe(1.0)
    assert values(new)["seconds"] == [1.0, 0.0, 1.0]
    supervisor.fold(1)
    assert values(joined(file, 2))["seconds"] == [1.0, 0.0, 1.0]


def test_too_many_series_fail_with_a_sentence_and_spoil_nothing(file: int) -> None:
    metrics = joined(file, 0)
    long = "x" * (INDEX // 4)
    for number in range(3):
        metrics.counter("c", "A counter.", user=f"{number}{long}").inc()
    with pytest.raises(RuntimeError, match="a label of 'c' takes too many values"):
        metrics.counter("c", "A counter.", user=f"3{long}")
    assert sum(sample.values[0] for sample in metrics.samples()) == 3.0


def test_a_supervisor_that_was_killed_in_a_fold_does_not_stop_its_workers(file: int) -> None:
    shared = SharedMetrics(file, PROCESSES)
    metrics = ProcessMetrics(shared, 0)
    metrics.counter("c", "A counter.").inc()
    shared._header[0] += 1
    assert values(metrics) == {"c": [1.0]}
