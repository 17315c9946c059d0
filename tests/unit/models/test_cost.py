"""The cost of a call: what is short stays on the event loop, and experience corrects the estimate."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest

from mlpatterns.metadata import Array
from mlpatterns.models.cost import LOOP_SECONDS, TIMES, Cost

SAMPLE = {"input": np.zeros((2, 3), np.float32)}


def test_an_unmeasured_model_is_not_short() -> None:
    assert not Cost().is_short(1)


def test_rows_that_cost_nothing_do_not_take_a_large_batch_off_the_loop() -> None:
    assert Cost(call=20e-6, row=0.1e-6).is_short(1000)
    assert not Cost(call=20e-6, row=10e-6).is_short(1000)


def test_copies_of_the_sample_tell_the_row_from_the_call() -> None:
    sizes = []

    def run(inputs: Mapping[str, Array]) -> None:
        sizes.append(len(inputs["input"]))
        time.sleep(len(inputs["input"]) * 0.0001)

    cost = Cost.measured(run, SAMPLE, rows=2)
    assert sizes == [2, 2, 2, 2 * TIMES, 2 * TIMES, 2 * TIMES]
    assert not cost.is_short(100), "100 rows of a tenth of a millisecond"


def test_a_model_of_a_fixed_batch_is_only_run_with_its_sample() -> None:
    sizes = []
    Cost.measured(lambda inputs: sizes.append(len(inputs["input"])), SAMPLE, rows=0)
    assert sizes == [2, 2, 2]


def test_calls_that_take_long_move_it_off_the_loop_and_short_ones_back() -> None:
    cost = Cost(call=20e-6)
    for _ in range(20):
        cost.learn(1, 3 * LOOP_SECONDS)
    assert not cost.is_short(1)
    for _ in range(100):
        cost.learn(1, 20e-6)
    assert cost.is_short(1)


@pytest.mark.parametrize("seconds", [0.01, 0.05, 3.0])
def test_one_slow_call_among_many_changes_nothing(seconds: float) -> None:
    """On a busy machine a call of microseconds lasts until its process is let run again."""
    cost = Cost(call=20e-6)
    cost.learn(1, seconds)
    assert cost.is_short(1)


@pytest.mark.parametrize("seconds", [0.01, 3.0])
def test_a_model_that_is_much_too_slow_leaves_the_loop_as_soon(seconds: float) -> None:
    cost = Cost(call=20e-6)
    for _ in range(10):
        cost.learn(1, seconds)
    assert not cost.is_short(1)
