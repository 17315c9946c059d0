"""The evidence of a demo: its claims, and what it measured."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Evidence", "Row"]


class Row(Struct, frozen=True):
    """One claim of a demo, and its measurement.

    Attributes:
        claim: what the demo claims of the system.
        bound: the bound that the measurement must meet, as text.
        measured: what the demo measured, as text.
        holds: whether the measurement meets the bound.
    """

    claim: str
    bound: str
    measured: str
    holds: bool


class Evidence(Struct, frozen=True):
    """All claims of the demo of one system.

    Attributes:
        name: the name of the system.
        rows: the claims with their measurements.
    """

    name: str
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether there is at least one claim, and every claim holds."""
        return bool(self.rows) and all(row.holds for row in self.rows)
