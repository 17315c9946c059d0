"""The evidence of a demo: what it claims, and what it measured."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Evidence", "Row"]


class Row(Struct, frozen=True):
    """One claim of a demo, and its measurement.

    Attributes:
        claim: what the demo claims of the system.
        bound: the bound that the measurement must keep, in words.
        measured: what the demo measured, in words.
        holds: whether the measurement keeps the bound.
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
        """Whether there is a claim, and all of them hold."""
        return bool(self.rows) and all(row.holds for row in self.rows)
