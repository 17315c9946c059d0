"""The tests of distributions and shares, held against SciPy's, and the multiple comparison against its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlpatterns.analysis.benjamini_hochberg import adjusted
from mlpatterns.analysis.chi_square import chi_square_sf
from mlpatterns.analysis.homogeneity import pearson, pearson_p_value
from mlpatterns.analysis.ks import distance, ks_p_value
from mlpatterns.analysis.monte_carlo import permuted_p, quantile_p
from mlpatterns.analysis.psi import psi, psi_bias, psi_p_value
from mlpatterns.analysis.shares import more_than, shares_differ
from mlpatterns.analysis.wasserstein import wasserstein


@pytest.mark.parametrize("degrees", [1, 2, 5, 9, 30, 99])
@pytest.mark.parametrize("x", [0.01, 0.5, 3.0, 20.0, 150.0, 900.0])
def test_chi_square_is_scipys(degrees: int, x: float) -> None:
    assert chi_square_sf(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("x", "degrees"), [(0.0, 3), (-1.0, 3), (5.0, 0)])
def test_chi_square_of_nothing_is_certain(x: float, degrees: int) -> None:
    assert chi_square_sf(x, degrees) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.booleans())
def test_ks_of_small_samples_is_exact(n: int, m: int, seed: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    first, second = np.sort(random.normal(size=n)), np.sort(random.normal(0.5, size=m))
    if ties:
        first, second = first.round(1), second.round(1)
    far, whole = distance(first, second)
    known = stats.ks_2samp(first, second, method="exact")
    assert far == pytest.approx(known.statistic, abs=1e-12)
    assert ks_p_value(whole, n, m) == pytest.approx(known.pvalue, rel=1e-8)


@pytest.mark.parametrize(
    ("n", "m", "moved"), [(600, 700, 0.1), (200, 10_000, 0.15), (50, 10_000, 0.4), (1000, 1000, 0.1)]
)
def test_ks_of_large_samples_is_near_the_exact_one(n: int, m: int, moved: float) -> None:
    random = np.random.default_rng(n)
    first, second = np.sort(random.normal(size=n)), np.sort(random.normal(moved, size=m))
    _, whole = distance(first, second)
    known = stats.ks_2samp(first, second, method="exact").pvalue
    assert ks_p_value(whole, n, m) == pytest.approx(known, rel=0.06)


def test_ks_at_its_ends() -> None:
    assert ks_p_value(0, 5, 5) == 1.0
    assert ks_p_value(25, 5, 5) == pytest.approx(2 / 252)  # all of one before all of the other: two of C(10, 5) orders
    assert ks_p_value(1, 5000, 5000) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.001, 0.999))
def test_an_excess_is_the_binomial_tail(count: int, rows: int, share: float) -> None:
    assert more_than(count, rows, share) == pytest.approx(stats.binom.sf(count - 1, rows, share), rel=1e-7, abs=1e-300)


def test_a_large_excess_keeps_its_digits() -> None:
    assert more_than(60_000, 500_000, 0.119) == pytest.approx(stats.binom.sf(59_999, 500_000, 0.119), rel=1e-6)
    assert (more_than(3, 5, 0.0), more_than(3, 5, 1.0), more_than(6, 5, 0.5)) == (0.0, 1.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.data())
def test_two_shares_are_fishers_doubled_tail(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    table = [[b, m - b], [a, n - a]]
    tails = [stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
    expected = min(1.0, 2 * min(tails)) if 0 < a + b < n + m else 1.0
    assert shares_differ(a, n, b, m) == pytest.approx(expected, rel=1e-7)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_ps_are_benjamini_and_hochbergs(ps: list[float]) -> None:
    np.testing.assert_allclose(adjusted(ps), stats.false_discovery_control(ps), rtol=1e-12)


def test_pearson_is_scipys() -> None:
    reference, window = np.array([50, 30, 20]), np.array([40, 45, 15])
    known = stats.chi2_contingency([reference, window], correction=False)
    assert float(pearson(reference, window)) == pytest.approx(known.statistic)
    many = pearson_p_value(reference * 10, window * 10, bound=0.001)
    assert many == pytest.approx(stats.chi2_contingency([reference * 10, window * 10]).pvalue, rel=1e-8)
    few = pearson_p_value(reference, window, bound=0.001)
    assert few == pytest.approx(known.pvalue, rel=0.5)


def test_psi_is_what_it_is_defined_as_and_its_bias_is_its_mean() -> None:
    reference, window = np.array([4999, 4999]), np.array([2499, 7499])
    assert float(psi(reference, window)) == pytest.approx((0.25 - 0.5) * np.log(0.5) + 0.25 * np.log(1.5), abs=1e-3)
    random = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    indices = psi(random.multinomial(1000, shares, 4000), random.multinomial(500, shares, 4000))
    assert indices.mean() == pytest.approx(psi_bias(10, 1000, 500), rel=0.03)


def test_the_drawn_ps_are_exact_where_all_outcomes_can_be_counted() -> None:
    """Two bins of 3 + 3 rows: the permutations are a hypergeometric distribution."""
    reference, window = np.array([3, 1]), np.array([0, 4])
    every = [sum(rows) for rows in itertools.combinations([1, 1, 1, 0, 0, 0, 0, 0], 4)]  # of the first bin
    observed = float(psi(reference, window))
    expected = np.mean([float(psi(np.array([3 - k, 1 + k]), np.array([k, 4 - k]))) >= observed - 1e-9 for k in every])
    assert permuted_p(psi, reference, window, 0.001) == pytest.approx(expected, rel=0.6)


def test_a_question_has_one_answer_and_a_window_like_the_reference_a_large_one() -> None:
    reference, window = np.full(10, 10), np.array([9, 12, 10, 8, 11, 10, 9, 12, 10, 9])
    assert quantile_p(psi, reference, window, 0.001) == quantile_p(psi, reference, window, 0.001) > 0.9
    gone = psi_p_value(reference, np.array([100, *[0] * 9]), bound=0.001, quantiles=True)
    assert gone == 1 / 20_001


def test_wasserstein_is_scipys_in_standard_deviations() -> None:
    random = np.random.default_rng(0)
    first, second = np.sort(random.normal(size=70)), np.sort(random.normal(1, 2, size=50))
    assert wasserstein(first, second, 2.0) == pytest.approx(stats.wasserstein_distance(first, second) / 2)
    assert wasserstein(first, second, 0.0) is None
