"""How many rows a model is asked for at once: found out in the first second of a run, by asking."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

__all__ = ["BatchSize"]

LADDER = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
SECONDS = 1.0  # for all steps together
CALLS = 20  # after which a step is over, however short they were
WORSE = 0.5  # of the best throughput: a step that falls so low is the last one


class BatchSize:
    """Climbs the ladder, each step for a share of a second, and stays where most rows a second came out.

    Of a step the fastest call counts: what else the machine does makes a call slower, and none faster.

    Args:
        most: rows that the model takes at once.
        fixed: a size to take instead.

    Attributes:
        rows: to ask for next.
        found: whether that will change no more.
    """

    def __init__(self, most: int | None = None, fixed: int | None = None) -> None:
        steps = [step for step in LADDER if most is None or step <= most] or [most or 1]
        self._steps: Sequence[int] = [min(fixed, most or fixed)] if fixed else steps
        self._rates: list[float] = []
        self._best, self._seconds, self._calls = inf, 0.0, 0
        self.rows = self._steps[0]
        self.found = len(self._steps) == 1

    def learn(self, rows: int, seconds: float) -> None:
        """A call of `rows` rows took `seconds`; one that was not full teaches nothing."""
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
