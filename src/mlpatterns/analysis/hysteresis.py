"""Hysteresis: when findings become an alert, and when the alert ends."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from mlpatterns.user_errors import CompositionError

__all__ = ["AlertState", "Hysteresis"]


class AlertState(Struct, frozen=True):
    """The findings of the last windows, the newest last, and the names with an alert."""

    recent: tuple[tuple[str, ...], ...] = ()
    alerting: tuple[str, ...] = ()


class Hysteresis(Struct, frozen=True):
    """An alert begins with a finding if that makes `raise_after` of the last `of` windows; it ends after `clear_after`
    windows without it.

    Attributes:
        raise_after: windows with the finding after which the alert begins.
        of: the number of last windows in which they are counted.
        clear_after: windows in a row without the finding after which the alert ends.

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
        """The state after one more window with the findings `found`."""
        recent = (*standing.recent, tuple(found))[-max(self.of, self.clear_after) :]
        names = dict.fromkeys([*standing.alerting, *found])
        alerting = tuple(name for name in names if self._alerts(name, name in standing.alerting, recent))
        return AlertState(recent, alerting)

    def _alerts(self, name: str, alerting: bool, recent: tuple[tuple[str, ...], ...]) -> bool:
        if alerting:
            return any(name in found for found in recent[-self.clear_after :])
        return sum(name in found for found in recent[-self.of :]) >= self.raise_after
