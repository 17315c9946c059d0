"""Hysteresis: when what was found becomes an alert, and when the alert ends."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from mlpatterns.errors import CompositionError

__all__ = ["AlertState", "Hysteresis"]


class AlertState(Struct, frozen=True):
    """What was found in the last windows, the newest last, and what is alerted of."""

    recent: tuple[tuple[str, ...], ...] = ()
    alerting: tuple[str, ...] = ()


class Hysteresis(Struct, frozen=True):
    """An alert of something begins in a window in which it is found, if that makes `raise_after` of the last `of`; it
    ends when it was not found in the last `clear_after`.

    Attributes:
        raise_after: windows in which it was found, after which the alert begins.
        of: the last windows, among which those are counted.
        clear_after: windows in a row in which it was not found, after which it ends.

    Raises:
        CompositionError: the numbers do not fit each other.
    """

    raise_after: int = 2
    of: int = 3
    clear_after: int = 3

    def __post_init__(self) -> None:
        if not (1 <= self.raise_after <= self.of and self.clear_after >= 1):
            raise CompositionError("a Hysteresis needs 1 <= raise_after <= of, and a clear_after of at least 1")

    def step(self, standing: AlertState, found: Collection[str]) -> AlertState:
        """After one more window."""
        recent = (*standing.recent, tuple(found))[-max(self.of, self.clear_after) :]
        names = dict.fromkeys([*standing.alerting, *found])
        alerting = tuple(name for name in names if self._alerts(name, name in standing.alerting, recent))
        return AlertState(recent, alerting)

    def _alerts(self, name: str, alerting: bool, recent: tuple[tuple[str, ...], ...]) -> bool:
        if alerting:
            return any(name in found for found in recent[-self.clear_after :])
        return sum(name in found for found in recent[-self.of :]) >= self.raise_after
