"""Hysteresis: when findings become an alert, and when the alert ends."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from mlpatterns.user_errors import CompositionError

__all__ = ["AlertState", "Hysteresis"]


class AlertState(Struct, frozen=True):
    """The findings of the last windows, the newest last, and the names that have an alert now."""

    recent: tuple[tuple[str, ...], ...] = ()
    alerting: tuple[str, ...] = ()


class Hysteresis(Struct, frozen=True):
    """An alert begins when `raise_after` of the last `of` windows have the same finding; it ends after `clear_after`
    windows without it.

    Attributes:
        raise_after: the number of windows with the finding that begins the alert.
        of: the number of last windows in which they are counted.
        clear_after: the number of consecutive windows without the finding that ends the alert.

    Raises:
        CompositionError: the numbers contradict each other.
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
