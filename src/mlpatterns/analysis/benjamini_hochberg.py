"""Corrects the p-values of many tests, to bound the share of false alarms among the reported differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["adjusted"]


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values after Benjamini and Hochberg ("Controlling the false discovery rate", 1995), in the same order.

    Among the tests whose adjusted p-value is at most alpha, the expected share of false alarms is at most alpha.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    lowest = np.minimum(1.0, np.minimum.accumulate(ranked[::-1])[::-1])
    result = np.empty(len(p))
    result[order] = lowest
    return [float(value) for value in result]
