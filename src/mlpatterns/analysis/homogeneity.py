"""Pearson's chi-square test that two samples have the same shares of categories."""

from __future__ import annotations

import numpy as np

from mlpatterns.analysis.chi_square import chi_square_sf
from mlpatterns.analysis.monte_carlo import expects_enough, permuted_p
from mlpatterns.metadata import Array

__all__ = ["pearson", "pearson_p_value"]


def pearson(reference: Array, window: Array) -> Array:
    """The statistic of counts by category, [..., categories] -> [...]."""
    pooled = reference + window
    m, n = reference.sum(-1, keepdims=True), window.sum(-1, keepdims=True)
    expected = pooled * n / (n + m)
    # One term covers both rows of the table, because their differences from the expected counts differ only in sign.
    terms = (window - expected) ** 2 / np.maximum(expected, 1e-12) * (n + m) / m
    total: Array = terms.sum(-1)
    return total


def pearson_p_value(reference: Array, window: Array, *, bound: float) -> float:
    """The probability of at least this statistic if nothing has changed.

    It uses the chi-square distribution if the expected count of each category is at least 20 in each sample, else
    permutations.

    Args:
        bound: the smallest p-value that affects a decision: alpha divided by the number of tests.
    """
    if expects_enough(reference, window):
        return chi_square_sf(float(pearson(reference, window)), len(reference) - 1)
    return permuted_p(pearson, reference, window, bound)
