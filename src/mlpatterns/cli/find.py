"""`mlpatterns find WORD`: which system is for what I need."""

from __future__ import annotations

from typing import Annotated

import typer

from mlpatterns.catalog import find
from mlpatterns.cli.listing import print_systems
from mlpatterns.errors import UserError

__all__ = ["command"]


def command(words: Annotated[list[str], typer.Argument(metavar="WORD…", help="In English or Japanese.")]) -> None:
    """Find systems by name, need or when to use them; in English or Japanese, the best match first."""
    found = find(" ".join(words))
    if not found:
        raise UserError(f"nothing is about {' '.join(words)!r}; `mlpatterns list` shows all systems")
    print_systems(found)
