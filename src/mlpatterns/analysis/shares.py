"""Tests of shares: one sample against a given share (outliers), and two samples (missing values)."""

from __future__ import annotations

from functools import lru_cache
from math import lgamma, log

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["more_than", "shares_differ"]


def more_than(count: int, rows: int, share: float) -> float:
    """The p-value of the exact binomial test: the probability of at least `count` in `rows`, each with the probability
    `share`.
    """
    if count <= 0:
        return 1.0
    if share <= 0 or count > rows:
        return 0.0
    if share >= 1:
        return 1.0
    k = np.arange(count, rows + 1)
    logs = _log_choose(rows, k) + k * log(share) + (rows - k) * log(1 - share)
    return _total(logs)


def shares_differ(first: int, first_rows: int, second: int, second_rows: int) -> float:
    """The two-sided p-value of Fisher's exact test that two samples have the same share: twice the smaller tail."""
    both, rows = first + second, first_rows + second_rows
    if not 0 < both < rows:
        return 1.0
    k = np.arange(max(0, both - first_rows), min(both, second_rows) + 1)
    logs = _log_choose(second_rows, k) + _log_choose(first_rows, both - k) - _log_choose(rows, np.array([both]))
    return min(1.0, 2 * min(_total(logs[k <= second]), _total(logs[k >= second])))


def _log_choose(n: int, k: Array) -> Array:
    factorials = _log_factorials(1 << max(10, int(n).bit_length()))
    chosen: Array = factorials[n] - factorials[k] - factorials[n - k]
    return chosen


@lru_cache(maxsize=4)
def _log_factorials(up_to: int) -> Array:
    small = [lgamma(n + 1) for n in range(min(up_to, 1024))]
    n = np.arange(1024, up_to + 1, dtype=np.float64)
    # Stirling's series; beyond 1024, its next term is below 1e-16
    large = (n + 0.5) * np.log(n) - n + 0.5 * log(2 * np.pi) + 1 / (12 * n) - 1 / (360 * n**3)
    return np.concatenate([np.array(small), large])


def _total(logs: Array) -> float:
    return float(min(1.0, np.exp(logs).sum()))
