"""What a call of a model costs, so that only work that is short holds the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["LOOP_SECONDS", "TIMES", "Cost"]

LOOP_SECONDS = 0.001  # a call estimated above this leaves the event loop
TIMES = 16  # how many copies of the sample tell the cost of a row from that of a call
WEIGHT = 0.05  # of each new call in the running mean
MOST = 4 * LOOP_SECONDS  # that one call can add before it is weighed: more is a process that was not let run


class Cost:
    """A part for the call and a part for each row, in seconds; corrected by every call that is made.

    A model whose sample was easier than its real inputs moves off the loop within some twenty calls, and back.
    """

    __slots__ = ("_call", "_row")

    def __init__(self, call: float = 1.0, row: float = 0.0) -> None:
        self._call, self._row = call, row

    @classmethod
    def measured(cls, run: Callable[[Mapping[str, Array]], object], sample: Mapping[str, Array], rows: int) -> Cost:
        """Runs the sample a few times, and if that is quick and `rows` is not 0, many copies of it at once.

        Args:
            rows: the sample's, or 0 if the model takes no other number.
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
        """A call with `rows` rows took `seconds`."""
        self._call += WEIGHT * min(MOST, seconds - rows * self._row - self._call)


def _fastest(run: Callable[[Mapping[str, Array]], object], inputs: Mapping[str, Array]) -> float:
    """Seconds of the fastest of three runs."""
    best = float("inf")
    for _ in range(3):
        began = perf_counter()
        run(inputs)
        best = min(best, perf_counter() - began)
    return best
