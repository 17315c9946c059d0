"""The ways to combine all feedback on a user into one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

__all__ = ["PER_USER"]

PER_USER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "last": lambda values: values[-1],
    "any": lambda values: float(any(values)),
}
