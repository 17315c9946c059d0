"""The two-sample Kolmogorov-Smirnov test, exact for small samples."""

from __future__ import annotations

from functools import lru_cache
from math import exp, sqrt

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["Distance", "distance", "ks_p_value"]

EXACT_ROWS = 1000  # of both samples together; above, the limit is right to some per cent of the p

Distance = tuple[float, int]


def distance(first: Array, second: Array) -> Distance:
    """The largest difference between the empirical distributions of two sorted samples; and the same times
    ``len(first) * len(second)``, which is a whole number."""
    n, m = len(first), len(second)
    points = np.concatenate([first, second])
    below_first = np.searchsorted(first, points, side="right")
    below_second = np.searchsorted(second, points, side="right")
    whole = int(np.abs(below_first * m - below_second * n).max())
    return whole / (n * m), whole


def ks_p_value(whole: int, n: int, m: int) -> float:
    """The probability of a distance of at least ``whole / (n * m)`` between two samples of one distribution.

    Exact by the count of lattice paths that stay within the distance (Hodges, "The significance probability of the
    Smirnov two-sample test", 1958), where both together have at most `EXACT_ROWS` rows; else by Kolmogorov's limit
    with Stephens' correction for finite samples (Journal of the Royal Statistical Society B 32, 1970). Equal values
    make the test cautious.
    """
    if whole <= 0:
        return 1.0
    if n + m <= EXACT_ROWS:
        return _exact(whole, min(n, m), max(n, m))
    root = sqrt(n * m / (n + m))
    return _kolmogorov((root + 0.12 + 0.11 / root) * whole / (n * m))


@lru_cache(maxsize=4096)
def _exact(whole: int, n: int, m: int) -> float:
    """The share of the paths from (0, 0) to (n, m) that leave the band ``|i * m - j * n| < whole``.

    Walks along ``i + j = step`` with the probability of being at i and of having stayed within.
    """
    i = np.arange(n + 1)
    inside = np.zeros(n + 1)
    inside[0] = 1.0
    left = n - i
    leaving = 0.0
    for step in range(1, n + m + 1):
        remaining = n + m - step + 1
        up = inside * (left / remaining)
        j = step - i
        stayed = inside * np.clip((m - j + 1) / remaining, 0.0, 1.0)
        stayed[1:] += up[:-1]
        outside = (np.abs(i * m - j * n) >= whole) | (j < 0) | (j > m)
        leaving += float(stayed[outside].sum())  # added up, since 1 - inside would lose a small p
        stayed[outside] = 0.0
        inside = stayed
    return min(1.0, leaving)


def _kolmogorov(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution."""
    if x < 0.2:
        return 1.0
    terms = [(1.0 if k % 2 else -1.0) * exp(-2 * (k * x) ** 2) for k in range(1, 101)]
    return min(1.0, max(0.0, 2 * sum(terms)))
