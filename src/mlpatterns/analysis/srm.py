"""Sample ratio mismatch, valid at any number of looks: whether the numbers of users fit the weights.

The e-value is the Bayes factor of a Dirichlet mixture against the planned shares, by Lindon and Malek, "Anytime-valid
inference for multinomial count data" (NeurIPS 2022). It is a test martingale, so `1 / e` is a p-value at any time, and
the e-values of periods with different weights are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import exp, inf, lgamma, log

from msgspec import Struct

__all__ = ["ALARM", "Period", "mismatch"]

ALARM = 0.001  # a p-value up to this is a mismatch
CONCENTRATION = 10_000.0  # of the mixture around the planned shares; so large that it detects small deviations


class Period(Struct, frozen=True):
    """The numbers of users by their first arm, in a time in which the arms had these relative shares."""

    users: Mapping[str, int]
    shares: Mapping[str, float]


def mismatch(periods: Iterable[Period]) -> float:
    """The p-value of all periods together, valid at any time; 0 if an arm without a share has users."""
    evidence = sum(_log_e_value(period) for period in periods)
    return min(1.0, exp(-evidence)) if evidence > -700 else 1.0


def _log_e_value(period: Period) -> float:
    total = sum(period.shares.values())
    if any(period.users.get(arm) and not period.shares.get(arm) for arm in period.users):
        return inf
    planned = {arm: share / total for arm, share in period.shares.items() if share > 0}
    users = sum(period.users.values())
    found = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + users)
    for arm, share in planned.items():
        prior, count = CONCENTRATION * share, period.users.get(arm, 0)
        found += lgamma(prior + count) - lgamma(prior) - count * log(share)
    return found
