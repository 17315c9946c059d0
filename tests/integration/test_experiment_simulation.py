"""Experiments simulated whole: a tenth of what the benchmark does, all of it in `make chaos`."""

from __future__ import annotations

import os

import pytest
from scipy import stats

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.heavy,
]  # hundreds of experiments with thousands of users each

RUNS = 200 * int(os.environ.get("MLPATTERNS_CHAOS", "1"))


def test_equal_arms_are_seldom_told_apart_and_what_can_be_found_is() -> None:
    from benchmarks.experiment_false_positives import simulated

    found = simulated(RUNS)
    assert found.ours * RUNS <= stats.binom.ppf(0.999, RUNS, 0.05)
    assert found.srm * RUNS <= stats.binom.ppf(0.999, RUNS, 0.001)
    slack = 0.03 + 3.3 * (0.8 * 0.2 / RUNS) ** 0.5  # of the computation, and of so few runs
    assert abs(found.power - found.power_said) <= slack
    assert found.fixed_often > 3 * max(found.ours, 0.05)  # what peeking does to a test that must not be peeked at
    assert found.by_requests > 0.1
    assert found.srm_by_requests > found.srm + 0.05
