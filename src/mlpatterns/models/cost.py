"""Estimates how long a call of a model takes, so that only short calls run on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["LOOP_SECONDS", "TIMES", "Cost"]

LOOP_SECONDS = 0.001  # a call that is estimated to take longer runs in a thread and not on the event loop
TIMES = 16  # copies of the sample in the large call, which separates the cost of a row from the cost of a call
WEIGHT = 0.05  # weight of each new call in the running mean
MOST = 4 * LOOP_SECONDS  # seconds that one call can add, before weighting: the system paused a longer call


class Cost:
    """A fixed cost for each call and a cost for each row, in seconds. Measured calls correct the estimate.

    If the real inputs take longer than the sample, the calls move from the event loop to a thread after about twenty
    calls. They move back when they are short again.
    """

    __slots__ = ("_call", "_row")

    def __init__(self, call: float = 1.0, row: float = 0.0) -> None:
        self._call, self._row = call, row

    @classmethod
    def measured(cls, run: Callable[[Mapping[str, Array]], object], sample: Mapping[str, Array], rows: int) -> Cost:
        """Runs the sample a few times. If that is fast and `rows` is not 0, also runs many copies of it at once.

        Args:
            rows: the number of rows of the sample; 0 if the model does not accept any other number of rows.
        """
        one = _fastest(run, sample)
        if not rows or one > LOOP_SECONDS:
            return cls(one)
        many = _fastest(run, {name: np.repeat(value, TIMES, axis=0) for name, value in sample.items()})
        row = max(0.0, many - one) / (rows * (TIMES - 1))
        return cls(max(0.0, one - rows * row), row)

    def is_short(self, rows: int) -> bool:
        """Whether a call with `rows` rows may run on the event loop."""
        return self._call + rows * self._row <= LOOP_SECONDS

    def learn(self, rows: int, seconds: float) -> None:
        """Updates the estimate: a call with `rows` rows took `seconds`."""
        self._call += WEIGHT * min(MOST, seconds - rows * self._row - self._call)


def _fastest(run: Callable[[Mapping[str, Array]], object], inputs: Mapping[str, Array]) -> float:
    """The duration of the fastest of three runs, in seconds."""
    best = float("inf")
    for _ in range(3):
        began = perf_counter()
        run(inputs)
        best = min(best, perf_counter() - began)
    return best
