"""Measures in rounds: every server in turn gets the same load, so that disturbances of the machine affect all of them.

The order is rotated from round to round. The first round is dropped, and ratios are computed within a round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from math import inf
from pathlib import Path
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.calls import Call, shoot_calls
from benchmarks.records import Plan
from benchmarks.servers import Command, Server, ask, serving, settle
from benchmarks.wrk import Load, Shot, shoot

__all__ = ["Check", "Entrant", "Ratio", "Shots", "alike", "compare", "middle", "ratio"]

Shots = Mapping[str, Sequence[Shot]]
Check = Callable[[bytes], bool]


class Entrant(Struct, frozen=True):
    """One of those that are compared: how it starts, what it is asked, and whether an answer is right."""

    command: Command
    load: Load | Call
    right: Check


class Ratio(Struct, frozen=True):
    """One server over another, round by round."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


def alike(commands: Mapping[str, Command], load: Load, right: Check) -> dict[str, Entrant]:
    """Entrants that are all asked the same."""
    return {name: Entrant(command, load, right) for name, command in commands.items()}


def compare(
    entrants: Mapping[str, Entrant], plan: Plan, folder: Path, after: Callable[[str, Server], None] | None = None
) -> Shots:
    """Starts all servers, checks the answer of each, and gives the counted shots of each by name.

    Args:
        after: is called with each server and its name when all turns are over, before it ends.

    Raises:
        RuntimeError: a server did not start, answered wrongly, or refused requests under load.
    """
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(its.command, its.load, folder)) for name, its in entrants.items()}
        for name, server in servers.items():
            status, body = ask(server, entrants[name].load)
            if status != 200 or not entrants[name].right(body):
                raise RuntimeError(f"{name} answers {status} {body[:200]!r}, which is not right")
        settle(list(servers.values()))
        shots = _take_turns(servers, {name: its.load for name, its in entrants.items()}, plan, folder)
        for name, server in servers.items():
            if after is not None:
                after(name, server)
        return shots


def _take_turns(servers: Mapping[str, Server], loads: Mapping[str, Load | Call], plan: Plan, folder: Path) -> Shots:
    names = list(servers)
    shots: dict[str, list[Shot]] = {name: [] for name in names}
    for number in range(plan.rounds if plan.quick else plan.rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            shots[name].append(_turn(servers[name], loads[name], plan.seconds, folder))
    return shots if plan.quick else {name: counted[1:] for name, counted in shots.items()}


def _turn(server: Server, load: Load | Call, seconds: int, folder: Path) -> Shot:
    before = server.cpu_seconds()
    shot = shoot_calls(load, seconds, folder) if isinstance(load, Call) else shoot(server.url, load, seconds, folder)
    spent = server.cpu_seconds() - before
    settle([server], step=0.1, patience=2.0)  # wrk leaves requests behind: they are not the next one's burden
    return replace(shot, cpu=1e6 * spent / max(1, shot.requests))


def ratio(above: Sequence[Shot], below: Sequence[Shot], of: Callable[[Shot], float] = lambda s: s.rate) -> Ratio:
    """`of` the one over `of` the other, paired by round; of requests a second unless said.

    Infinite where a turn was too short for the other to answer at all.
    """
    found = [of(a) / of(b) if of(b) else inf for a, b in zip(above, below, strict=True)]
    return Ratio(median(found), min(found), max(found))


def middle(shots: Sequence[Shot], of: Callable[[Shot], float]) -> float:
    """The median of `of` over the rounds."""
    return median(of(shot) for shot in shots)
