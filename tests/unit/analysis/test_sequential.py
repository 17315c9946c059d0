"""The confidence sequence: its published form, its p-value, its false positives under peeking, its power."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlpatterns.analysis.sequential import (
    Estimate,
    _normal_cdf,
    interval,
    mean_of,
    minimum_effect,
    power,
    ratio_of,
    stratified,
)

ALPHA, TUNING = 0.05, 5_000


def published(effect: float, variance: float, n: float, alpha: float) -> tuple[float, float]:
    """Half-width and p as gbstats' SequentialTwoSidedTTest writes them, of the variance of the effect."""
    rho = sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / TUNING)
    grown = n * rho**2 + 1
    half = sqrt(variance * n) * sqrt(2 * grown * log(sqrt(grown) / alpha) / (n * rho) ** 2)
    evalue = exp(min(700.0, rho**2 * (effect * n) ** 2 / (variance * n) / (2 * grown))) / sqrt(grown)
    return half, min(1.0, 1 / evalue)


@given(st.floats(-0.1, 0.1), st.floats(0.01, 2.0), st.integers(50, 50_000), st.integers(50, 50_000),
       st.sampled_from([0.01, 0.05, 0.1]))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_it_is_the_published_sequence_and_p_is_its_inversion(
    effect: float, spread: float, one: int, other: int, alpha: float
) -> None:
    found = interval(Estimate(one, 0.5, spread, 99), Estimate(other, 0.5 + effect, spread, 99), alpha, TUNING)
    half, p = published(found.effect, spread / one + spread / other, one + other, alpha)
    assert found.upper - found.effect == pytest.approx(half)
    assert found.effect - found.lower == pytest.approx(half)
    assert found.p == pytest.approx(p, abs=1e-12)
    if abs(found.p - alpha) > 1e-9:
        assert found.excludes_zero == (found.p < alpha)


def test_a_known_value_stays_the_same() -> None:
    """10 % of 5,000 against 12 % of 5,000, computed by the formula of the paper."""
    found = interval(Estimate(5000, 0.10, 0.09, 500), Estimate(5000, 0.12, 0.1056, 600))
    assert found.lower == pytest.approx(0.00085169, abs=1e-8)
    assert found.upper == pytest.approx(0.03914831, abs=1e-8)
    assert found.p == pytest.approx(0.03348601, abs=1e-8)


def test_it_is_tightest_at_the_users_that_it_is_tuned_to() -> None:
    """Of all tunings the one of n users has the smallest width at n, in units of the standard error."""
    widths = {}
    for tuning in (1250, 2500, 5000, 10_000, 20_000):
        found = interval(Estimate(2500, 0, 1, 9), Estimate(2500, 0, 1, 9), ALPHA, tuning)
        widths[tuning] = found.upper
    assert min(widths, key=widths.__getitem__) == 5000


def test_a_mean_and_a_ratio_are_estimated_as_a_textbook_does() -> None:
    rng = np.random.default_rng(1)
    requests = rng.integers(1, 20, 2000)
    clicks = rng.binomial(requests, 0.1 + 0.2 * rng.random(2000))
    mean = mean_of(clicks)
    assert (mean.users, mean.value, mean.variance) == (2000, clicks.mean(), clicks.var(ddof=1))
    assert mean.events == np.count_nonzero(clicks)
    ratio = ratio_of(clicks, requests)
    cov = np.cov(clicks, requests)
    r, x = clicks.sum() / requests.sum(), requests.mean()
    delta = (cov[0, 0] - 2 * r * cov[0, 1] + r * r * cov[1, 1]) / x**2
    assert ratio.value == pytest.approx(r)
    assert ratio.variance == pytest.approx(delta)
    bootstrap = [(clicks[i].sum() / requests[i].sum()) for i in rng.integers(0, 2000, (400, 2000))]
    assert ratio.variance / 2000 == pytest.approx(np.var(bootstrap), rel=0.25)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (mean_of(np.zeros(0)), mean_of(np.ones(9))),
        (mean_of(np.ones(1)), mean_of(np.ones(9))),
        (mean_of(np.ones(9)), mean_of(np.ones(9))),
        (ratio_of(np.ones(9), np.zeros(9)), mean_of(np.ones(9))),
    ],
)
def test_where_nothing_varies_or_nobody_is_nothing_is_said(one: Estimate, other: Estimate) -> None:
    found = interval(one, other)
    assert (found.lower, found.upper, found.p) == (-np.inf, np.inf, 1.0)
    assert not found.excludes_zero


def test_periods_are_compared_within_themselves_and_weighted_by_their_users() -> None:
    """In each period b is better by 0.1, and in all together it would be worse (Simpson's paradox)."""
    early = Estimate(900, 0.5, 0.25, 450), Estimate(100, 0.6, 0.24, 60)
    late = Estimate(100, 0.1, 0.09, 10), Estimate(900, 0.2, 0.16, 180)
    found = stratified([early, late])
    assert found.effect == pytest.approx(0.1)
    variance = 0.25 * (0.25 / 900 + 0.24 / 100) + 0.25 * (0.09 / 100 + 0.16 / 900)
    assert found.upper - found.effect == pytest.approx(published(0.1, variance, 2000, ALPHA)[0])
    nobody = Estimate(0, 0.0, 0.0, 0)
    assert stratified([early, (nobody, late[1])]) == stratified([early])
    assert stratified([(nobody, nobody)]).p == 1.0


def test_the_normal_distribution_is_right_to_seven_digits() -> None:
    z = np.linspace(-8, 8, 1001)
    assert np.abs(_normal_cdf(z) - stats.norm.cdf(z)).max() < 1.5e-7


def test_power_is_that_of_a_random_walk_looked_at_as_often() -> None:
    looks, users, spread, runs = 40, 20_000, 0.4, 4_000
    rng = np.random.default_rng(7)
    for effect in (0.0, 0.01, 0.016):
        steps = rng.normal(effect / sqrt(spread) * users / looks, sqrt(users / looks), (runs, looks)).cumsum(axis=1)
        n = users / looks * np.arange(1, looks + 1)
        rho2 = (-2 * log(ALPHA) + log(-2 * log(ALPHA) + 1)) / TUNING
        bound = np.sqrt(2 * (n * rho2 + 1) / rho2 * np.log(np.sqrt(n * rho2 + 1) / ALPHA))
        simulated = (np.abs(steps) > bound).any(axis=1).mean()
        assert power(effect, spread, users) == pytest.approx(simulated, abs=0.03)


def test_the_smallest_effect_is_found_as_often_as_is_wanted() -> None:
    effect = minimum_effect(0.4, 20_000, wanted=0.8)
    assert power(effect, 0.4, 20_000) == pytest.approx(0.8, abs=0.002)
    assert minimum_effect(1.6, 20_000, wanted=0.8) == pytest.approx(2 * effect)


def test_equal_arms_are_told_apart_less_often_than_alpha_however_often_one_looks() -> None:
    """From 100 users an arm on, at every further 50; a fixed-horizon test at the same looks is wrong far more often."""
    rng = np.random.default_rng(3)
    runs, most, step = 400, 3000, 50
    data = (rng.random((runs, 2, most)) < 0.1).cumsum(axis=2)
    ours = fixed = 0
    for run in data:
        looks = range(99, most, step)
        pairs = [[Estimate(n + 1, v := arm[n] / (n + 1), v * (1 - v) * (n + 1) / n, int(arm[n])) for arm in run]
                 for n in looks]  # fmt: skip
        ours += any(interval(one, other).excludes_zero for one, other in pairs)
        z = [abs(b.value - a.value) / sqrt((a.variance + b.variance) / a.users or 1) for a, b in pairs]
        fixed += max(z) > 1.96
    assert ours <= stats.binom.ppf(0.999, runs, ALPHA)
    assert fixed > 3 * stats.binom.ppf(0.999, runs, ALPHA) / 2
