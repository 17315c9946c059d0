"""The sample ratio: seldom a false alarm at any time, soon a true one, and weights may change on the way."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from scipy import stats

from mlpatterns.analysis.srm import ALARM, CONCENTRATION, Period, mismatch


def test_it_is_the_bayes_factor_of_the_paper() -> None:
    """By the distribution of scipy: Dirichlet-multinomial against multinomial."""
    found = mismatch([Period({"a": 5200, "b": 4400}, {"a": 55, "b": 45})])
    mixture = stats.dirichlet_multinomial([CONCENTRATION * 0.55, CONCENTRATION * 0.45], 9600).logpmf([5200, 4400])
    planned = stats.multinomial(9600, [0.55, 0.45]).logpmf([5200, 4400])
    assert log(found) == pytest.approx(min(0.0, planned - mixture), abs=1e-6)


def test_fair_runs_alarm_less_often_than_the_level_however_often_one_looks() -> None:
    rng = np.random.default_rng(5)
    alarms, runs = 0, 500
    for _ in range(runs):
        first = rng.binomial(50, 0.6, 200).cumsum()
        alarms += any(
            mismatch([Period({"a": int(a), "b": 50 * (n + 1) - int(a)}, {"a": 60, "b": 40})]) <= ALARM
            for n, a in list(enumerate(first))[::4]
        )
    assert alarms <= stats.binom.ppf(0.999, runs, ALARM)


def test_a_mismatch_is_found() -> None:
    assert mismatch([Period({"a": 5700, "b": 4300}, {"a": 60, "b": 40})]) < ALARM
    assert mismatch([Period({"a": 6000, "b": 4000}, {"a": 60, "b": 40})]) == 1.0


def test_a_change_of_the_weights_is_no_mismatch_and_hides_none() -> None:
    fair = [Period({"a": 6000, "b": 4000}, {"a": 6000, "b": 4000}), Period({"a": 1000, "b": 9000}, {"a": 1, "b": 9})]
    assert mismatch(fair) == 1.0
    pooled = [Period({"a": 7000, "b": 13_000}, {"a": 6000, "b": 4000})]
    assert mismatch(pooled) < ALARM
    assert mismatch([fair[0], Period({"a": 1300, "b": 8700}, {"a": 1, "b": 9})]) < ALARM


def test_an_arm_without_a_share_has_no_users() -> None:
    assert mismatch([Period({"a": 9, "b": 1}, {"a": 1, "b": 0})]) == 0.0
    assert mismatch([Period({"a": 9, "b": 0}, {"a": 1, "b": 0})]) == 1.0
    assert mismatch([]) == 1.0
