"""`mlpatterns list`: all systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mlpatterns.catalog import GROUPS, System, systems
from mlpatterns.cli.output import table
from mlpatterns.user_errors import UnknownName

__all__ = ["command", "print_systems"]


def command(
    group: Annotated[str | None, typer.Option(help=f"Only one group: {', '.join(GROUPS)}.")] = None,
) -> None:
    """List all systems: name, group, need."""
    if group is not None and group not in GROUPS:
        raise UnknownName("group", group, GROUPS)
    print_systems([s for s in systems() if group in (None, s.header.group)])


def print_systems(chosen: Sequence[System]) -> None:
    """Prints one line for each system; the name is first and never wrapped."""
    rows = [(s.name, s.header.group, s.header.need, s.header.japanese) for s in chosen]
    table(("System", "Group", "I need to …", "Japanese"), rows)
