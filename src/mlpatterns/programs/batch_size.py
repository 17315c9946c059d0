"""Finds the best number of rows for one call of a model, in the first second of a run."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

__all__ = ["BatchSize"]

LADDER = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
SECONDS = 1.0  # seconds for all steps together
CALLS = 20  # calls after which a step ends, however short they were
WORSE = 0.5  # share of the best throughput: a step with less is the last one


class BatchSize:
    """Tries larger and larger batches, each for a part of a second, and keeps the size with the most rows per second.

    The fastest call of each size counts: other work on the machine makes calls slower, never faster.

    Args:
        most: the most rows that the model takes.
        fixed: a size to use instead.

    Attributes:
        rows: the size of the next call.
        found: whether the size is final.
    """

    def __init__(self, most: int | None = None, fixed: int | None = None) -> None:
        steps = [step for step in LADDER if most is None or step <= most] or [most or 1]
        self._steps: Sequence[int] = [min(fixed, most or fixed)] if fixed else steps
        self._rates: list[float] = []
        self._best, self._seconds, self._calls = inf, 0.0, 0
        self.rows = self._steps[0]
        self.found = len(self._steps) == 1

    def learn(self, rows: int, seconds: float) -> None:
        """Records that a call with `rows` rows took `seconds`; a call of another size than `self.rows` is ignored."""
        if self.found or rows != self.rows:
            return
        self._calls += 1
        self._seconds += seconds
        self._best = min(self._best, max(seconds, 1e-9))
        if self._seconds < SECONDS / len(self._steps) and self._calls < CALLS:
            return
        self._rates.append(rows / self._best)
        self._best, self._seconds, self._calls = inf, 0.0, 0
        best = max(self._rates)
        if len(self._rates) == len(self._steps) or self._rates[-1] < WORSE * best:
            self.found = True
            self.rows = self._steps[self._rates.index(best)]
        else:
            self.rows = self._steps[len(self._rates)]
