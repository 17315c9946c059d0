"""Writes RESULTS.md and results.json: the last run of each benchmark, which is kept until its next run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.machine import Machine
from benchmarks.records import Glance, Goal, Report, Table

__all__ = ["Entry", "as_text", "load_entries", "render", "save_entries"]

HEADER = "<!-- Made by `make bench` (`python -m benchmarks`) from results.json; do not edit. -->"

GLANCE = ("workload", "server", "requests/s", "ours / it", "CPU us a request", "its CPU / ours", "p99 ms")


class Entry(Struct, frozen=True, kw_only=True):
    """One benchmark's last run."""

    command: str
    seconds: float
    about: str
    machine: Machine
    report: Report


def load_entries(path: Path) -> dict[str, Entry]:
    """The runs that are kept; none if the file does not exist."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Entry]) if path.exists() else {}


def save_entries(path: Path, entries: Mapping[str, Entry]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=1) + b"\n")


def render(entries: Mapping[str, Entry]) -> str:
    """The whole page."""
    return "\n".join(_lines(entries)) + "\n"


def _lines(entries: Mapping[str, Entry]) -> Iterator[str]:
    yield from (HEADER, "", "# Benchmarks", "")
    yield "`make bench` runs all of this; `python -m benchmarks NAME` one of them. Raw numbers: `results.json`."
    yield from ("", "## Goals", "")
    goals = [(name, goal) for name, entry in entries.items() for goal in entry.report.goals]
    yield from _markdown(("benchmark", "what", "goal", "measured", "reached"), (_goal(*pair) for pair in goals))
    yield from ("", "A ratio is the median over the rounds, with the least and the most.")
    yield from _glances(entries)
    yield from ("", "## Where it makes no difference, or we lose", "")
    yield from _losses(entries)
    for name, entry in entries.items():
        yield from _section(name, entry)
    yield from ("", "## Machine", "")
    yield from _markdown(("benchmark", "measured on"), ((name, _machine(e.machine)) for name, e in entries.items()))


def _glances(entries: Mapping[str, Entry]) -> Iterator[str]:
    glances = [glance for entry in entries.values() for glance in entry.report.glances]
    if glances:
        yield from ("", "## Other servers at a glance", "")
        yield from _markdown(GLANCE, (_glance(glance) for glance in glances))


def _glance(glance: Glance) -> tuple[str, ...]:
    return (glance.workload, glance.server, glance.rate, glance.ratio, glance.cpu, glance.cpu_ratio, glance.p99)


def _losses(entries: Mapping[str, Entry]) -> Iterator[str]:
    for entry in entries.values():
        yield from (f"- {sentence}" for sentence in entry.report.losses)
        missed = (goal for goal in entry.report.goals if not goal.reached)
        yield from (f"- Goal missed: {goal.what}: {goal.measured}, goal {goal.goal}." for goal in missed)


def _section(name: str, entry: Entry) -> Iterator[str]:
    yield from ("", f"## {name}", "", cleandoc(entry.about), "")
    yield f"`{entry.command}`, {entry.machine.date}, {entry.seconds:.0f} s."
    for table in entry.report.tables:
        yield from ("", f"**{table.title}**", "")
        yield from _markdown(table.columns, table.rows)
    for note in entry.report.notes:
        yield from ("", note)


def _goal(name: str, goal: Goal) -> tuple[str, ...]:
    return name, goal.what, goal.goal, goal.measured, "yes" if goal.reached else "**no**"


def _machine(machine: Machine) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    return (f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb} GB, {machine.system}, Python {machine.python}, "
            f"{libraries}; load average at the start {machine.load}")  # fmt: skip


def _markdown(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = tuple(columns)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def as_text(table: Table) -> str:
    """A table for a terminal."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
