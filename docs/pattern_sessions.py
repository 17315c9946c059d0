"""The commands of the session on a pattern's page: those of its header, or what docs/patterns.toml has instead."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from mlpatterns.catalog import System

__all__ = ["More", "Plan", "more", "planned"]

FILE = Path(__file__).with_name("patterns.toml")


class More(Struct, frozen=True, forbid_unknown_fields=True):
    """What docs/patterns.toml says of a pattern; its first lines say what each field is."""

    before: list[str] | None = None
    run: str | None = None
    ask: list[str] | None = None
    figures: list[tuple[str, str]] = []


class Plan(Struct, frozen=True):
    """The commands of a session: some, then a server or "" for none, then what is asked of it. The demo comes last."""

    before: list[str]
    run: str
    ask: list[str]


def more() -> dict[str, More]:
    """By the name of the pattern; one without a table there has nothing to add."""
    return msgspec.convert(tomllib.loads(FILE.read_text(encoding="utf-8")), dict[str, More])


def planned(system: System, other: More) -> Plan:
    """The session of `system`: the commands of its header up to its demo, with those of `other` instead."""
    commands = system.header.commands.splitlines()
    demo = f"mlpatterns demo {system.name}"
    commands = commands[: commands.index(demo)] if demo in commands else commands
    starts = f"mlpatterns run {system.name}"
    first = next((number for number, line in enumerate(commands) if starts in line), len(commands))
    before, run, ask = commands[:first], "".join(commands[first : first + 1]), commands[first + 1 :]
    return Plan(
        before if other.before is None else other.before,
        run if other.run is None else other.run,
        ask if other.ask is None else other.ask,
    )
