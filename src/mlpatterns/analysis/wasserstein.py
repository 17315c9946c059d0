"""The Wasserstein distance of two samples in standard deviations."""

from __future__ import annotations

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["wasserstein"]


def wasserstein(first: Array, second: Array, std: float) -> float | None:
    """The area between the empirical distributions of two sorted samples, divided by `std`; None if `std` is 0."""
    if std <= 0:
        return None
    points = np.sort(np.concatenate([first, second]))
    below_first = np.searchsorted(first, points[:-1], side="right") / len(first)
    below_second = np.searchsorted(second, points[:-1], side="right") / len(second)
    return float((np.abs(below_first - below_second) * np.diff(points)).sum() / std)
