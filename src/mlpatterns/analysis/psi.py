"""The population stability index: how far bin counts are from the reference, and how likely that is by chance."""

from __future__ import annotations

import numpy as np

from mlpatterns.analysis.chi_square import chi_square_sf
from mlpatterns.analysis.monte_carlo import expects_enough, permuted_p, quantile_p
from mlpatterns.metadata import Array

__all__ = ["psi", "psi_bias", "psi_p_value"]


def psi(reference: Array, window: Array) -> Array:
    """The index of bin counts, [..., bins] -> [...]: ``sum((q - p) * ln(q / p))`` of their shares.

    Half a count is added to each bin, so that an empty bin has a logarithm too.
    """
    p = (reference + 0.5) / (reference.sum(-1, keepdims=True) + reference.shape[-1] / 2)
    q = (window + 0.5) / (window.sum(-1, keepdims=True) + window.shape[-1] / 2)
    total: Array = ((q - p) * np.log(q / p)).sum(-1)
    return total


def psi_bias(bins: int, reference_rows: int, rows: int) -> float:
    """The expected index if nothing has changed: ``(bins - 1) * (1/n + 1/m)`` (Yurdakul, "Statistical properties of
    population stability index", 2018)."""
    return (bins - 1) * (1 / reference_rows + 1 / rows)


def psi_p_value(reference: Array, window: Array, *, bound: float, quantiles: bool) -> float:
    """The probability of at least this index if nothing has changed.

    If the expected count of each bin is at least 20 in each sample, ``psi / (1/n + 1/m)`` is treated as a chi-square
    variable with ``bins - 1`` degrees of freedom. Otherwise the probability is simulated (Monte Carlo).

    Args:
        reference, window: counts, [bins].
        bound: the smallest p-value that affects a decision: alpha divided by the number of tests.
        quantiles: whether the bins end at values of the reference itself, all of them distinct.
    """
    m, n = int(reference.sum()), int(window.sum())
    if expects_enough(reference, window):
        return chi_square_sf(float(psi(reference, window)) / (1 / n + 1 / m), len(reference) - 1)
    return (quantile_p if quantiles else permuted_p)(psi, reference, window, bound)
