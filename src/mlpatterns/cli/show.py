"""`mlpatterns show NAME`: shows one system on one screen."""

from __future__ import annotations

from typing import Annotated

import typer

from mlpatterns.catalog import System, get
from mlpatterns.cli.output import say

__all__ = ["command"]


def command(
    name: Annotated[str, typer.Argument(help="The system's name, or its name in the book.")],
    source: Annotated[bool, typer.Option("--source", help="Print the whole file instead.")] = False,
) -> None:
    """Show one system: need, diagram, when to use it and when not, commands, file."""
    system = get(name)
    if source and system.path:
        say(system.path.read_text(encoding="utf-8").rstrip())
        return
    header = system.header
    say(f"{system.name}: {header.title} ({header.japanese})")
    say()
    say(header.need)
    for label, text in _facts(system):
        say(f"  {label:<12}{text}")
    for label, block in (("Diagram", header.diagram), ("Commands", header.commands)):
        if block:
            say(f"\n{label}")
            say("\n".join(f"  {line}".rstrip() for line in block.splitlines()))


def _facts(system: System) -> list[tuple[str, str]]:
    header = system.header
    facts = [
        ("When", header.when),
        ("When not", header.when_not),
        ("Group", header.group),
        ("Pieces", ", ".join(system.pieces)),
        ("Keeps", system.keeps),
        ("Also called", ", ".join(filter(None, (header.mercari, *system.aliases, *system.everyday)))),
        ("Book", header.book),
        ("File", str(system.path)),
    ]
    return [(label, text) for label, text in facts if text]
