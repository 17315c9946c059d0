"""Which of the numbered exposures of a split never reached the log: gaps that later numbers have overtaken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

__all__ = ["Gaps"]

SETTLED = 60.0  # seconds until an overtaken number counts as lost, because requests end out of order


class _Numbers(Struct):
    """The numbers of one process and arm.

    All numbers up to `upto` have arrived or are lost. The numbers in `ahead` have arrived, each at its time.
    """

    upto: int | None = None
    ahead: dict[int, float] = field(default_factory=dict)

    def see(self, number: int, at: float) -> None:
        if self.upto is None and number == 1:
            self.upto = 0
        if self.upto is None or number > self.upto:
            self.ahead[number] = at
        while self.upto is not None and self.upto + 1 in self.ahead:
            self.upto += 1
            del self.ahead[self.upto]

    def settled(self, until: float) -> Iterator[tuple[float, int]]:
        """The gaps before numbers that arrived by `until`: the time, and how many numbers are missing. If the log
        begins later than the process, there is no gap before its first number."""
        for number in sorted(self.ahead):
            if self.ahead[number] > until:
                return
            if self.upto is not None and number > self.upto + 1:
                yield self.ahead[number], number - self.upto - 1
            self.upto = number
            del self.ahead[number]


class Gaps:
    """The gaps of all processes and arms: open gaps and lost exposures."""

    def __init__(self, arms: Iterable[str]) -> None:
        self._arms = tuple(arms)
        self._numbers: dict[tuple[str, str], _Numbers] = {}
        self._lost: list[tuple[str, float, int]] = []

    def see(self, source: str, arm: str, number: int, at: float) -> None:
        """Reads one exposure."""
        self._numbers.setdefault((source, arm), _Numbers()).see(number, at)

    def settle(self, now: float) -> None:
        """Counts the gaps as lost that were overtaken at least a minute before `now`."""
        for (_, arm), numbers in self._numbers.items():
            self._lost += [(arm, at, missing) for at, missing in numbers.settled(now - SETTLED)]

    def lost(self, since: float = 0.0) -> dict[str, int]:
        """The number of lost exposures by arm that were overtaken at `since` or later."""
        found = dict.fromkeys(self._arms, 0)
        for arm, at, missing in self._lost:
            found[arm] += missing if at >= since else 0
        return found
