"""New connections beside busy ones.

*Claim.* While 256 keep-alive connections each send the next `POST /predict` as soon as they have their answer, half of
the requests for `GET /health/live`, each on a connection of its own, are answered within 1.2 times of what a bare ASGI
handler on the same uvicorn needs, and none waits 2 s: an orchestrator that probes a busy worker does not end it.

*Method.* wrk, 1 thread, 256 connections; when the server has accepted all of them, one probe after the other beside
them: connect, ask, read to the end, close. How long the server took to accept them is in the table too.
Both servers run at once and have their turn in every round, in an order that is rotated; the first round is dropped;
the ratio is taken within a round, and its median counts.

*Why it is fair.* As in `hot_path`: the same uvicorn and flags, the same ONNX file, the same answers. The bare handler
decodes, runs and encodes as ours does, and answers the probe with the same body.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import msgspec
from msgspec import Struct

from benchmarks.models import ROW, iris, tiny
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.servers import Server, ours, peer, serving, settle
from benchmarks.wrk import Load, Shot, shoot

__all__ = ["run"]

OURS, BARE = "mlpatterns run", "bare ASGI handler"
BUSY, QUICK_BUSY = 256, 16
ROUNDS = 5
MOST_RATIO, MOST_SECONDS = 1.2, 2.0
PAUSE = 0.005  # seconds between two probes, so that they are no load of their own
PATIENCE = 6  # seconds for the server to accept all connections of wrk
PROBE = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ALIVE = b'{"live":true}'
COLUMNS = (
    "server",
    "p50 ms",
    "p99 ms",
    "longest ms",
    "probes",
    "all accepted after s",
    "busy requests/s",
    "p50, ours / it",
)


class Turn(Struct, frozen=True):
    """What the probes saw in one turn and how long the busy connections waited to be accepted, in seconds; and what
    these did meanwhile."""

    probes: list[float]
    accepted: float
    shot: Shot

    @property
    def p50(self) -> float:
        return median(self.probes)

    @property
    def p99(self) -> float:
        return sorted(self.probes)[int(0.99 * (len(self.probes) - 1))]


Turns = Mapping[str, list[Turn]]


def run(plan: Plan, folder: Path) -> Report:
    """Five rounds of both servers under load, with one worker each."""
    model = tiny(folder) if plan.quick else iris(folder)
    row = msgspec.json.encode({"data": [ROW]})
    busy = QUICK_BUSY if plan.quick else BUSY
    load = Load("/predict", row, {"content-type": "application/json"}, connections=busy)
    commands = {OURS: ours(str(model)), BARE: peer("bare_asgi:app", model=model)}
    turns: dict[str, list[Turn]] = {name: [] for name in commands}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(its, load, folder)) for name, its in commands.items()}
        settle(list(servers.values()))
        rounds = 1 if plan.quick else ROUNDS + 1
        for number in range(rounds):
            for name in sorted(servers, reverse=bool(number % 2)):
                turns[name].append(_turn(servers[name], load, plan.seconds, folder))
    counted = turns if plan.quick else {name: taken[1:] for name, taken in turns.items()}
    return _report(counted, busy)


def _turn(server: Server, load: Load, seconds: int, folder: Path) -> Turn:
    with ThreadPoolExecutor(1) as pool:
        before = server.process.num_fds()
        began = perf_counter()
        loading = pool.submit(shoot, server.url, load, seconds + PATIENCE, folder)
        while server.process.num_fds() - before < load.connections and perf_counter() - began < PATIENCE:
            sleep(0.02)
        accepted = perf_counter() - began
        probes, end = [], perf_counter() + seconds
        while perf_counter() < end:
            probes.append(_probe(server.port))
            sleep(PAUSE)
        shot = loading.result()
    settle([server], step=0.1, patience=2.0)
    return Turn(probes, accepted, shot)


def _probe(port: int) -> float:
    """Seconds from the first packet of a new connection to the end of the answer."""
    began = perf_counter()
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(PROBE)
        while chunk := connection.recv(4096):
            answer += chunk
    seconds = perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(ALIVE):
        raise RuntimeError(f"a probe was answered {answer[:200]!r}")
    return seconds


def _report(turns: Turns, busy: int) -> Report:
    ratios = [our.p50 / its.p50 for our, its in zip(turns[OURS], turns[BARE], strict=True)]
    ratio, longest = median(ratios), max(max(turn.probes) for turn in turns[OURS])
    goals = (
        Goal(
            f"p50 of /health/live on new connections beside {busy} busy ones, ours / bare handler",
            f"<= {MOST_RATIO}", f"{ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})", ratio <= MOST_RATIO,
        ),
        Goal("the longest probe of ours", f"<= {MOST_SECONDS} s", f"{longest:.2f} s", longest <= MOST_SECONDS),
    )  # fmt: skip
    rows = tuple(_row(name, taken, f"{ratio:.2f}" if name == BARE else "") for name, taken in turns.items())
    raw = {name: [msgspec.to_builtins(turn) for turn in taken] for name, taken in turns.items()}
    return Report(goals=goals, tables=(Table("iris, 1 worker", COLUMNS, rows),), raw={"turns": raw})


def _row(name: str, turns: list[Turn], ratio: str) -> tuple[str, ...]:
    return (
        name,
        f"{1000 * median(turn.p50 for turn in turns):.1f}",
        f"{1000 * median(turn.p99 for turn in turns):.1f}",
        f"{1000 * max(max(turn.probes) for turn in turns):.1f}",
        str(sum(len(turn.probes) for turn in turns)),
        f"{median(turn.accepted for turn in turns):.1f}",
        f"{median(turn.shot.rate for turn in turns):,.0f}",
        ratio,
    )
