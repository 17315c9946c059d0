"""What a record of every prediction costs.

*Claim.* `POST /predict` with one row of iris costs at most 15 % more CPU where every prediction is logged in SQLite, at
most 10 % more where it is logged as JSON lines, and nothing is dropped.

*Method.* As the hot path: wrk, 16 connections, one worker, all servers at once and in turn; the same file with and
without a `PredictionLog` around the model. CPU is that of the server's process with all its threads, so that of
encoding and writing too. The queue is what it is by default. Afterwards each server says what it wrote and dropped.

*Why it is fair.* Nothing is sampled: every record has inputs, outputs, identity and times. The load is the most that
the server bears, which no log of a real one has to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.hot_path import LOAD, answers
from benchmarks.models import iris, tiny
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.rounds import alike, compare, middle, ratio
from benchmarks.servers import Command, Server, ask, ours
from benchmarks.wrk import Shot

__all__ = ["run"]

NONE, GOALS = "no log", {"JSON lines": 1.10, "SQLite": 1.15}
COLUMNS = ("log", "requests/s", "p99 us", "CPU us a request", "more CPU", "records", "dropped")


class Figures(msgspec.Struct):
    """Of the answer of `GET /log`."""

    records: int
    dropped: int


def run(plan: Plan, folder: Path) -> Report:
    """One row of iris, without a log and with each sink."""
    model = (tiny if plan.quick else iris)(folder)
    figures: dict[str, Figures] = {}

    def after(name: str, server: Server) -> None:
        if name != NONE:
            figures[name] = msgspec.json.decode(ask(server, "/log")[1], type=Figures)

    shots = compare(alike(_servers(model, folder), LOAD, answers(model)), plan, folder, after)
    more = {name: ratio(shots[name], shots[NONE], _cpu) for name in GOALS}
    rows = [(NONE, *_shown(shots[NONE]), "", "", "")]
    rows += [
        (name, *_shown(shots[name]), f"x {more[name]}", f"{figures[name].records:,}", str(figures[name].dropped))
        for name in GOALS
    ]
    return Report(
        goals=tuple(
            Goal(f"CPU a request, logged as {name}", f"<= {most:.2f} x without, 0 dropped",
                 f"{more[name]}, {figures[name].dropped} dropped",
                 more[name].median <= most and not figures[name].dropped)
            for name, most in GOALS.items()
        ),
        tables=(Table("one row, 1 worker, every prediction logged", COLUMNS, tuple(rows)),),
        raw={"shots": msgspec.to_builtins(shots), "figures": msgspec.to_builtins(figures)},
    )  # fmt: skip


def _servers(model: Path, folder: Path) -> dict[str, Command]:
    made = f'OnnxModel("file:{model}")'
    apps = {NONE: made, **dict.fromkeys(GOALS, f"PredictionLog({made})")}
    urls = {"JSON lines": f"file://{folder}/log.jsonl", "SQLite": f"sqlite:///{folder}/log.db"}
    found = {}
    for number, (name, app) in enumerate(apps.items()):
        file = folder / f"app_{number}.py"
        file.write_text(f"from mlpatterns import OnnxModel, PredictionLog, serve\napp = serve(lambda: {app})\n")
        command = ours(str(file), home=folder / "logged")
        found[name] = Command(command.arguments, {**command.environment, "MLPATTERNS_LOG": urls.get(name, "memory://")})
    return found


def _shown(shots: Sequence[Shot]) -> tuple[str, str, str]:
    return (
        f"{middle(shots, lambda s: s.rate):,.0f}",
        f"{middle(shots, lambda s: s.p99):,.0f}",
        f"{middle(shots, _cpu):.1f}",
    )


def _cpu(shot: Shot) -> float:
    return shot.cpu
