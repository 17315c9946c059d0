"""Simulates the p-value of a statistic of the bin counts of two samples."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["LEAST_EXPECTED", "Statistic", "expects_enough", "permuted_p", "quantile_p"]

LEAST_EXPECTED = 20  # rows in each bin of both samples; below, the chi-square approximation gives too small p-values
FEWEST, MOST = 2000, 1_000_000  # draws
ENOUGH = 20  # draws that reach the observed statistic; so many are expected at the smallest p-value that matters
FIRST_BLOCK, LAST_BLOCK = 200, 20_000

Statistic = Callable[[Array, Array], Array]  # counts of the reference and of windows, [..., bins] -> [...]


def expects_enough(reference: Array, window: Array) -> bool:
    """Whether the expected count of every bin is at least `LEAST_EXPECTED` in each sample."""
    pooled, m, n = reference + window, int(reference.sum()), int(window.sum())
    return bool(pooled.min() * min(n, m) >= LEAST_EXPECTED * (n + m))


def quantile_p(statistic: Statistic, reference: Array, window: Array, bound: float) -> float:
    """The p-value for bins that end at values of the reference, all of them distinct: the shares of the distribution
    between such values have a Dirichlet distribution (Wilks, "Mathematical Statistics", 8.7).

    Args:
        bound: the smallest p-value that affects a decision; the number of draws is large enough to estimate it well.
    """
    n = int(window.sum())
    spacings = reference + np.eye(len(reference), dtype=np.int64)[-1]  # one more: beyond the last value

    def draw(random: np.random.Generator, size: int) -> Array:
        return statistic(reference, random.multinomial(n, random.dirichlet(spacings, size)))

    return _sequential_p(draw, float(statistic(reference, window)), bound, (reference, window))


def permuted_p(statistic: Statistic, reference: Array, window: Array, bound: float) -> float:
    """The p-value for bins that were fixed before: it draws samples of the size of the window from all rows, whose bins
    are known."""
    n, pooled = int(window.sum()), reference + window

    def draw(random: np.random.Generator, size: int) -> Array:
        windows = random.multivariate_hypergeometric(pooled, n, size, method="marginals")
        return statistic(pooled - windows, windows)

    return _sequential_p(draw, float(statistic(reference, window)), bound, (reference, window))


def _sequential_p(
    draw: Callable[[np.random.Generator, int], Array], observed: float, bound: float, question: tuple[Array, Array]
) -> float:
    """Draws until `ENOUGH` statistics are at least `observed` (Besag and Clifford, "Sequential Monte Carlo p-values",
    1991). The p-value is exact in this sense: for any u, it is at most u with a probability of at most u."""
    key = repr([counts.tolist() for counts in question])
    random = np.random.default_rng(zlib.crc32(key.encode()))  # equal counts get the same seed, and so the same p-value
    most, done, beyond, size = int(min(max(ENOUGH / bound, FEWEST), MOST)), 0, 0, FIRST_BLOCK
    while done < most:
        size = min(size, most - done)
        hits = np.flatnonzero(draw(random, size) >= observed - 1e-9)
        if beyond + len(hits) >= ENOUGH:
            return ENOUGH / (done + int(hits[ENOUGH - beyond - 1]) + 1)
        done, beyond, size = done + size, beyond + len(hits), min(2 * size, LAST_BLOCK)
    return (beyond + 1) / (most + 1)
