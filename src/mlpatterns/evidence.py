"""Evidence: what a demo proves, claim by claim."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Evidence", "Row"]


class Row(Struct, frozen=True):
    """One claim: the bound it must keep, what was measured, and whether it holds.

    Attributes:
        claim: what is said of the system.
        bound: what must hold, in words.
        measured: what was found.
        holds: whether that is within the bound.
    """

    claim: str
    bound: str
    measured: str
    holds: bool


class Evidence(Struct, frozen=True):
    """All claims of one system's demo.

    Attributes:
        name: of the system.
        rows: its claims.
    """

    name: str
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether there is a claim, and all of them hold."""
        return bool(self.rows) and all(row.holds for row in self.rows)
