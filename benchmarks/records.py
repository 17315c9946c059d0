"""The input of a benchmark, a Plan, and its result, a Report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

__all__ = ["FULL", "QUICK", "Benchmark", "Glance", "Goal", "Plan", "Report", "Table"]


class Plan(Struct, frozen=True, kw_only=True):
    """How much is measured.

    Attributes:
        rounds: counted rounds of each load; in a round every server has its turn.
        seconds: of load, a turn. wrk takes whole ones.
        repeats: of what is measured without load: starts, batches of calls.
        quick: a smoke test: the smallest model, the fewest variants, no round for warming up.
    """

    rounds: int
    seconds: int
    repeats: int
    quick: bool = False


FULL = Plan(rounds=7, seconds=3, repeats=7)
QUICK = Plan(rounds=1, seconds=1, repeats=1, quick=True)


class Goal(Struct, frozen=True):
    """One goal and what came of it. `measured` is in the words of `goal`."""

    what: str
    goal: str
    measured: str
    reached: bool


class Table(Struct, frozen=True):
    """Numbers as they are shown."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Glance(Struct, frozen=True, kw_only=True):
    """One line of the summary over all peers: a server under a workload, as its median round.

    Attributes:
        rate: requests a second.
        cpu: microseconds of CPU for a request.
        p99: milliseconds.
        ratio: our requests a second over its; empty for us.
        cpu_ratio: its CPU for a request over ours; empty for us.
    """

    workload: str
    server: str
    rate: str
    cpu: str
    p99: str
    ratio: str
    cpu_ratio: str


class Report(Struct, frozen=True, kw_only=True):
    """What one benchmark found.

    Attributes:
        glances: lines of the summary over all peers.
        losses: sentences for "where it makes no difference, or we lose".
        notes: what a reader must know of the numbers.
        raw: every number that was measured, before any median.
    """

    goals: tuple[Goal, ...] = ()
    tables: tuple[Table, ...] = ()
    glances: tuple[Glance, ...] = ()
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    raw: dict[str, Any] = {}


Benchmark = Callable[[Plan, Path], Report]
"""Runs one benchmark; the path is a folder for its files."""
