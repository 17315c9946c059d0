"""The pooled two-proportion test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.analysis.proportions import pooled_z

SHARE, ROWS = st.floats(0, 1), st.integers(1, 10**6)


def test_a_case_worked_by_hand() -> None:
    # 90 of 100 and 150 of 200: pooled 240/300 = 0.8, its error sqrt(0.8 * 0.2 * (1/100 + 1/200)) = 0.048990
    assert pooled_z(0.9, 100, 0.75, 200) == pytest.approx(0.15 / 0.0489898, rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_agree_nothing_is_apart(share: float) -> None:
    assert pooled_z(share, 10, share, 20) == 0


@given(SHARE, ROWS, SHARE, ROWS)
def test_it_is_a_finite_number_that_changes_its_sign_with_the_sides(a: float, n: int, b: float, m: int) -> None:
    assert pooled_z(a, n, b, m) == pytest.approx(-pooled_z(b, m, a, n), abs=1e-9)
    assert (pooled_z(a, n, b, m) > 0) <= (a > b)
