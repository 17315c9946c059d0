"""The difference of two means, valid at any number of looks: an asymptotic confidence sequence, and its power.

The sequence is the normal mixture of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
theory and asymptotic confidence sequences" (2021, arXiv:2103.06476), theorem 2.2, tuned as in their appendix to be
tightest at `TUNING` users; GrowthBook's gbstats uses it in the same form (SequentialTwoSidedTTest).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, inf, log, sqrt

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array

__all__ = [
    "ALPHA",
    "TUNING",
    "Estimate",
    "Interval",
    "interval",
    "mean_of",
    "minimum_effect",
    "power",
    "ratio_of",
    "stratified",
]

ALPHA = 0.05
TUNING = 5_000  # users of both arms at which the sequence is tightest
LOOKS = 40  # the number of looks for which a power is computed
CELLS = 121  # of the grid for the density of the undecided paths


class Estimate(Struct, frozen=True):
    """A mean over users, or a ratio of two means.

    Attributes:
        variance: of one user's contribution, so that `variance / users` is the variance of the value.
        events: the number of users whose value is not 0.
    """

    users: int
    value: float
    variance: float
    events: int


class Interval(Struct, frozen=True):
    """A difference with its confidence sequence at this moment, and the p-value that is valid at any time."""

    effect: float
    lower: float
    upper: float
    p: float

    @property
    def excludes_zero(self) -> bool:
        return self.lower > 0 or self.upper < 0


def mean_of(values: Array) -> Estimate:
    """The estimate of a mean, from one value per user."""
    n = len(values)
    variance = float(np.var(values, ddof=1)) if n > 1 else 0.0
    return Estimate(n, float(np.mean(values)) if n else 0.0, variance, int(np.count_nonzero(values)))


def ratio_of(numerators: Array, denominators: Array) -> Estimate:
    """The estimate of a ratio of sums, from two values per user, such as clicks and requests; its variance is computed
    by the delta method (Deng, Knoblich, Lu, "Applying the delta method in metric analytics", KDD 2018, equation 3)."""
    n, total = len(numerators), float(np.sum(denominators))
    if n < 2 or total <= 0:
        return Estimate(n, 0.0, 0.0, 0)
    ratio = float(np.sum(numerators)) / total
    residuals = (numerators - ratio * denominators) / (total / n)
    return Estimate(n, ratio, float(np.var(residuals, ddof=1)), int(np.count_nonzero(numerators)))


def interval(control: Estimate, other: Estimate, alpha: float = ALPHA, tuning: float = TUNING) -> Interval:
    """The difference `other` minus `control`.

    As the number of users grows, the probability that the sequence ever excludes the true difference is at most
    `alpha`, for any number of looks. `p` is the smallest level at which the sequence excludes 0.
    """
    return stratified([(control, other)], alpha, tuning)


def stratified(pairs: Sequence[tuple[Estimate, Estimate]], alpha: float = ALPHA, tuning: float = TUNING) -> Interval:
    """The difference over several periods: the mean of the differences within the periods, weighted by their users.

    So a change of the shares of the arms does not look like a difference between the arms. A period in which an arm has
    fewer than two users is left out.
    """
    told = [(control, other) for control, other in pairs if min(control.users, other.users) >= 2]
    users = sum(control.users + other.users for control, other in told)
    effect = variance = 0.0
    for control, other in told:
        weight = (control.users + other.users) / users
        effect += weight * (other.value - control.value)
        variance += weight**2 * (control.variance / control.users + other.variance / other.users)
    spread = users * variance
    if spread <= 0:  # all users of an arm have the same value, so chance cannot be estimated
        return Interval(effect, -inf, inf, 1.0)
    rho2 = _rho2(alpha, tuning)
    width = sqrt(spread) * _boundary(users, rho2, alpha) / users
    grown = users * rho2 + 1
    exponent = rho2 * (effect * users) ** 2 / spread / (2 * grown)
    p = 1.0 if exponent < 0.5 * log(grown) else sqrt(grown) * exp(-min(exponent, 700.0))
    return Interval(effect, effect - width, effect + width, min(1.0, p))


def power(effect: float, spread: float, users: int, *, alpha: float = ALPHA, tuning: float = TUNING,
          looks: int = LOOKS) -> float:  # fmt: skip
    """The probability that the sequence excludes 0 at one of `looks` equally spaced looks at up to `users` users.

    It propagates the density of the sum over all users from look to look on a grid, without the part that has crossed
    the boundary (Armitage, McPherson, Rowe, "Repeated significance tests on accumulating data", 1969).

    Args:
        spread: the variance of the control divided by its share of users, plus the same quotient of the other arm.
    """
    drift, rho2 = effect / sqrt(spread), _rho2(alpha, tuning)
    step = users / looks
    crossed, density, points = 0.0, np.ones(1), np.zeros(1)
    for look in range(1, looks + 1):
        bound = _boundary(step * look, rho2, alpha)
        edges = np.linspace(-bound, bound, CELLS + 1)
        upto = _normal_cdf((edges[None, :] - points[:, None] - drift * step) / sqrt(step))
        inside = density @ np.diff(upto, axis=1)
        crossed += float(density.sum() - inside.sum())
        density, points = inside, (edges[1:] + edges[:-1]) / 2
    return min(1.0, max(0.0, crossed))


def minimum_effect(spread: float, users: int, *, wanted: float = 0.8, alpha: float = ALPHA, tuning: float = TUNING,
                   looks: int = LOOKS) -> float:  # fmt: skip
    """The smallest difference that is found with the probability `wanted` at up to `users` users; the other arguments
    are those of `power`."""
    return sqrt(spread) * _detectable(users, wanted, alpha, tuning, looks)


@lru_cache(maxsize=64)  # the result does not depend on the data
def _detectable(users: int, wanted: float, alpha: float, tuning: float, looks: int) -> float:
    """The smallest difference that is found, in units of the square root of the spread."""
    low, high = 0.0, 1 / sqrt(users)
    while power(high, 1.0, users, alpha=alpha, tuning=tuning, looks=looks) < wanted:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        found = power(middle, 1.0, users, alpha=alpha, tuning=tuning, looks=looks)
        low, high = (middle, high) if found < wanted else (low, middle)
    return high


def _rho2(alpha: float, tuning: float) -> float:
    """The parameter of the mixture that makes the sequence tightest at `tuning` users."""
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / tuning


def _boundary(users: float, rho2: float, alpha: float) -> float:
    """The boundary within which the sum of standardised values stays at all times, with a probability of 1 - alpha."""
    grown = users * rho2 + 1
    return sqrt(2 * grown / rho2 * log(sqrt(grown) / alpha))


def _normal_cdf(z: Array) -> Array:
    """The distribution function of the standard normal distribution, to 1.5e-7: Abramowitz and Stegun, 7.1.26."""
    x = np.abs(z) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = 1 - tail * np.exp(-x * x)
    return np.asarray(0.5 * (1 + np.sign(z) * erf))
