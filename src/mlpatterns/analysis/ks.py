"""The two-sample Kolmogorov-Smirnov test, exact for small samples."""

from __future__ import annotations

from functools import lru_cache
from math import exp, sqrt

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["Distance", "distance", "ks_p_value"]

EXACT_ROWS = 1000  # of both samples together; above, the limit is accurate to a few per cent of the p-value

Distance = tuple[float, int]


def distance(first: Array, second: Array) -> Distance:
    """The largest difference between the empirical distributions of two sorted samples; and its product with
    ``len(first) * len(second)``, which is an integer."""
    n, m = len(first), len(second)
    points = np.concatenate([first, second])
    below_first = np.searchsorted(first, points, side="right")
    below_second = np.searchsorted(second, points, side="right")
    whole = int(np.abs(below_first * m - below_second * n).max())
    return whole / (n * m), whole


def ks_p_value(whole: int, n: int, m: int) -> float:
    """The probability of a distance of at least ``whole / (n * m)`` between two samples of one distribution.

    If both samples together have at most `EXACT_ROWS` rows, it is exact: it counts the lattice paths that stay within
    the distance (Hodges, "The significance probability of the Smirnov two-sample test", 1958). Else it is Kolmogorov's
    limit with Stephens' correction for finite samples (Journal of the Royal Statistical Society B 32, 1970). Equal
    values make the test conservative.
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

    For each step ``i + j``, it computes the probability that a path is at i and has not left the band.
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
        leaving += float(stayed[outside].sum())  # summed, because 1 - inside would lose the precision of a small p
        stayed[outside] = 0.0
        inside = stayed
    return min(1.0, leaving)


def _kolmogorov(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution."""
    if x < 0.2:
        return 1.0
    terms = [(1.0 if k % 2 else -1.0) * exp(-2 * (k * x) ** 2) for k in range(1, 101)]
    return min(1.0, max(0.0, 2 * sum(terms)))
