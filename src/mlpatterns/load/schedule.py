"""The times of requests: consecutive phases, each with a constant rate, planned before the first request is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from mlpatterns.user_errors import WrongUse

__all__ = ["Phase", "phases"]

MOST_RATE, MOST_SECONDS = 1_000_000, 7 * 24 * 3600


class Phase(Struct, frozen=True):
    """`rate` requests per second for `seconds`, at equal intervals; the first at the beginning.

    Raises:
        WrongUse: the rate or the time is not positive, or out of bounds.
    """

    rate: float
    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MOST_RATE:
            raise WrongUse(f"a rate must be more than 0 and at most {MOST_RATE:,} requests a second, not {self.rate:g}")
        if not 0 < self.seconds <= MOST_SECONDS:
            raise WrongUse(f"a duration must be more than 0 s and at most 7 days, not {self.seconds:g} s")

    @property
    def requests(self) -> int:
        return max(1, math.floor(self.rate * self.seconds + 1e-6))


def phases(rate: float | Sequence[float], seconds: float) -> tuple[Phase, ...]:
    """One phase for each rate, each for `seconds`.

    Raises:
        WrongUse: no rate is given, or a rate is not valid.
    """
    rates = [rate] if isinstance(rate, int | float) else list(rate)
    if not rates:
        raise WrongUse("there is no rate to load with; write one like 100")
    return tuple(Phase(float(each), float(seconds)) for each in rates)
