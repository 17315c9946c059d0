"""`mlpatterns find WORD`: finds the systems that match a need."""

from __future__ import annotations

from typing import Annotated

import typer

from mlpatterns.catalog import find, near
from mlpatterns.cli.listing import print_systems
from mlpatterns.user_errors import UserError

__all__ = ["command"]


def command(
    words: Annotated[list[str], typer.Argument(metavar="WORD…", help="Words of your need, in English or Japanese.")],
) -> None:
    """Find systems by name, need or when to use them; in English or Japanese, the best match first."""
    found = find(" ".join(words))
    if not found:
        alike = dict.fromkeys(guess for word in words for guess in near(word)[:1] if guess != word)
        guesses = f"did you mean {' or '.join(map(repr, alike))}? " if alike else ""
        raise UserError(f"no system matches {' '.join(words)!r}; {guesses}`mlpatterns list` shows all systems")
    print_systems(found)
