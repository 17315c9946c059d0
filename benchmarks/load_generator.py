"""`mlpatterns load` beside wrk: how many requests a second it sends on one core, how exactly, and what it sees.

*Claim.* On one core it sends 5,000 requests a second with an error of the rate under 1 %, and sees the latencies that
wrk sees.

*Method.* One server, uvicorn with an app that sleeps for 3 ms and answers `ok`, on a core of its own; the generators,
in turns, on another. wrk runs with 16 connections in a closed loop, which a server of about 3 ms answers about 5,000
times a second; ours is asked for 5,000, and for as many as wrk has just had. The error of the rate is that of the time
between the first and the last request; CPU is that of the whole process of the generator, its start too.

*Why it is fair.* Both see the same server at nearly the same rate. wrk counts from when it sends, and sends only when
it was answered; ours counts from when it planned to send, its own delay (shown as late) included, so ours is the
larger.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct

from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.servers import UVICORN, Command, clean_environment, serving
from benchmarks.wrk import CONNECTIONS, Load, shoot

__all__ = ["run"]

RATES = (1000, 5000, 10_000)
GOAL, WITHIN = 5000, 0.01
SERVER = Command((sys.executable, "-m", "uvicorn", "benchmarks.steady_app:app", *UVICORN, "--port"), {})
STEADY = Load("/", b"", {})
BUSY = (
    "Server and generator need a core each. Where the load of the machine was above 0 before, others had a part of "
    "them, and a latency far above 3 ms is that of waiting for a core, as is a rate at 10,000 that is not reached."
)


class Seen(Struct, frozen=True):
    """One turn of one generator; milliseconds, and the share of a core that it used."""

    rate: float
    error: float
    p50: float
    p99: float
    late: float
    cpu: float


def run(plan: Plan, folder: Path) -> Report:
    """Rounds of every rate and of wrk."""
    seen: dict[str, list[Seen]] = {}
    with serving(SERVER, "/", folder) as server:
        own, other = _cores()
        server.process.cpu_affinity([own])
        for _ in range(plan.rounds):
            for rate in (GOAL,) if plan.quick else RATES:
                seen.setdefault(f"ours, {rate:,} a second", []).append(_ours(server.url, rate, plan.seconds, other))
            wrk = _wrk(server.url, plan.seconds, folder, other)
            seen.setdefault(f"wrk, {CONNECTIONS} connections", []).append(wrk)
            seen.setdefault("ours, as many as wrk", []).append(_ours(server.url, round(wrk.rate), plan.seconds, other))
    middle = {name: _median(turns) for name, turns in seen.items()}
    found = middle[f"ours, {GOAL:,} a second"]
    same, wrk = middle["ours, as many as wrk"], middle[f"wrk, {CONNECTIONS} connections"]
    goal = Goal(
        f"sending {GOAL:,} a second on one core", "error of the rate < 1 %, < 1 core",
        f"{found.error:.3%}, {found.cpu:.2f} cores", found.error < WITHIN and found.cpu < 1,
    )  # fmt: skip
    ratio = same.p50 / wrk.p50
    beside = Goal("its median at wrk's rate", "0.8 to 1.2 x wrk's", f"{ratio:.2f} x", 0.8 <= ratio <= 1.2)
    columns = ("generator", "sent a second", "error", "p50", "p99", "late p99", "CPU")
    rows = tuple((name, *_shown(one)) for name, one in middle.items())
    return Report(
        goals=(goal, beside),
        tables=(Table("an answer after 3 ms", columns, rows),),
        notes=(BUSY,),
        raw={"seen": msgspec.to_builtins(seen)},
    )


def _shown(seen: Seen) -> tuple[str, ...]:
    error, late = (f"{seen.error:.3%}", f"{seen.late:.2f} ms") if seen.late >= 0 else ("-", "-")
    return f"{seen.rate:,.0f}", error, f"{seen.p50:.2f} ms", f"{seen.p99:.2f} ms", late, f"{seen.cpu:.2f} cores"


def _cores() -> tuple[int, int]:
    """Two that this process may use; the same one twice where there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def _ours(url: str, rate: int, seconds: int, core: int) -> Seen:
    flags = ("--method", "GET", "--rate", str(rate), "--duration", f"{seconds}s", "--json")
    began = _children()
    output = subprocess.run(
        [sys.executable, "-m", "mlpatterns", "load", f"{url}/", *flags], env=clean_environment(),
        capture_output=True, check=True, timeout=seconds + 60, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ).stdout  # fmt: skip
    cpu = _children() - began
    found: Any = msgspec.json.decode(output)
    if found["success"] < 1:
        raise RuntimeError(f"of {found['requests']} requests some failed: {found['error_counts']}")
    sent = (found["requests"] - 1) / (found["duration"] / 1e9)
    p50, p99 = found["latencies"]["50th"] / 1e6, found["latencies"]["99th"] / 1e6
    return Seen(sent, abs(sent / rate - 1), p50, p99, found["late"]["p99"] * 1e3, cpu / seconds)


def _wrk(url: str, seconds: int, folder: Path, core: int) -> Seen:
    allowed = os.sched_getaffinity(0)
    began, time_began = _children(), time.perf_counter()
    os.sched_setaffinity(0, {core})  # wrk inherits it
    try:
        shot = shoot(url, STEADY, seconds, folder)
    finally:
        os.sched_setaffinity(0, allowed)
    cpu = (_children() - began) / (time.perf_counter() - time_began)
    return Seen(shot.rate, 0.0, shot.p50 / 1e3, shot.p99 / 1e3, -1.0, cpu)


def _children() -> float:
    """Seconds of CPU of the processes that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _median(turns: list[Seen]) -> Seen:
    return Seen(*(median(getattr(turn, field) for turn in turns) for field in Seen.__struct_fields__))
