"""The difference of two proportions in standard errors."""

from __future__ import annotations

import math

__all__ = ["pooled_z"]


def pooled_z(first: float, first_rows: int, second: float, second_rows: int) -> float:
    """The z statistic of the pooled two-proportion test: by how many standard errors `first` is above `second`.

    If both are 0 or both are 1, it is 0. Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 7.3.3, "How
    can we determine whether two processes produce the same proportion of defectives?".

    Args:
        first, second: shares of rows, 0 to 1.
        first_rows, second_rows: the number of rows behind each share, at least 1.
    """
    pooled = (first * first_rows + second * second_rows) / (first_rows + second_rows)
    error = math.sqrt(max(0.0, pooled * (1 - pooled)) * (1 / first_rows + 1 / second_rows))
    return (first - second) / error if error else 0.0
