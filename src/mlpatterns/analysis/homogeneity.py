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
    # Both rows of the table in one: their differences from what is expected are the same but for the sign.
    terms = (window - expected) ** 2 / np.maximum(expected, 1e-12) * (n + m) / m
    total: Array = terms.sum(-1)
    return total


def pearson_p_value(reference: Array, window: Array, *, bound: float) -> float:
    """The probability of at least this statistic where nothing has changed: by chi-square where each category expects
    20 rows of each sample, else by permutation.

    Args:
        bound: the smallest p that decides something: alpha by the number of tests.
    """
    if expects_enough(reference, window):
        return chi_square_sf(float(pearson(reference, window)), len(reference) - 1)
    return permuted_p(pearson, reference, window, bound)
