"""Rounds: every server under the same load in turn, so that what disturbs the machine disturbs all of them.

The order is rotated from round to round, the first round is dropped, and ratios are taken within a round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.records import Plan
from benchmarks.servers import Command, Server, ask, serving, settle
from benchmarks.wrk import Load, Shot, shoot

__all__ = ["Ratio", "Shots", "compare", "middle", "ratio"]

Shots = Mapping[str, Sequence[Shot]]
Check = Callable[[bytes], bool]


class Ratio(Struct, frozen=True):
    """One server over another, round by round."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


def compare(commands: Mapping[str, Command], load: Load, right: Check, plan: Plan, folder: Path) -> Shots:
    """Starts all servers, checks the answer of each, and gives the counted shots of each by name.

    Raises:
        RuntimeError: a server did not start, answered wrongly, or refused requests under load.
    """
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(command, load, folder)) for name, command in commands.items()}
        for name, server in servers.items():
            status, body = ask(server, load)
            if status != 200 or not right(body):
                raise RuntimeError(f"{name} answers {status} {body[:200]!r}, which is not right")
        settle(list(servers.values()))
        return _take_turns(servers, load, plan, folder)


def _take_turns(servers: Mapping[str, Server], load: Load, plan: Plan, folder: Path) -> Shots:
    names = list(servers)
    shots: dict[str, list[Shot]] = {name: [] for name in names}
    for number in range(plan.rounds if plan.quick else plan.rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            shots[name].append(_turn(servers[name], load, plan.seconds, folder))
    return shots if plan.quick else {name: counted[1:] for name, counted in shots.items()}


def _turn(server: Server, load: Load, seconds: int, folder: Path) -> Shot:
    before = server.cpu_seconds()
    shot = shoot(server.url, load, seconds, folder)
    return replace(shot, cpu=1e6 * (server.cpu_seconds() - before) / shot.requests)


def ratio(above: Sequence[Shot], below: Sequence[Shot], of: Callable[[Shot], float] = lambda s: s.rate) -> Ratio:
    """`of` the one over `of` the other, paired by round; of requests a second unless said."""
    found = [of(a) / of(b) for a, b in zip(above, below, strict=True)]
    return Ratio(median(found), min(found), max(found))


def middle(shots: Sequence[Shot], of: Callable[[Shot], float]) -> float:
    """The median of `of` over the rounds."""
    return median(of(shot) for shot in shots)
