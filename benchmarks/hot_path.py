"""One row over HTTP.

*Claim.* `POST /predict` with one row of iris, every default feature on (guard, deadline, ids, metrics, limits,
validation), answers at least 0.70 times the requests a second of a bare ASGI handler that decodes, runs and encodes,
and at least 1.8 times those of a FastAPI service written by hand; its p99 is at most twice the bare handler's.

*Method.* wrk, 1 thread, 16 connections. All servers run at once and have their turn in every round, in an order
that is rotated; the first round is dropped; ratios are taken within a round. CPU is what the server's processes spent
for a request, user and system: the figure that a noisy machine disturbs least. Where a server kept fewer cores busy
than it has workers, wrk or a neighbour held it back, and its requests a second say less than its CPU.

*Why it is fair.* The same uvicorn for all: httptools, uvloop, no access log, no server header, the same backlog and
keep-alive. The same ONNX file, one thread for a call in the peers, which is their fastest. FastAPI is measured with
`def` and with `async def`, and the faster one counts. Every server's answer is compared with ONNX Runtime's own
first, and a single answer other than 2xx ends the benchmark. The tiny model shows the worst case: where the model
costs nothing, all that is left is overhead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.models import ROW, answer_of, iris, tiny
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.rounds import Ratio, Shots, alike, compare, middle, ratio
from benchmarks.servers import Command, ours, peer
from benchmarks.wrk import Load, Shot

__all__ = ["answers", "commands", "run"]

OURS, BARE = "mlpatterns run", "bare ASGI handler"
FASTAPI = ("FastAPI by hand, def", "FastAPI by hand, async def")
BARE_GOAL, FASTAPI_GOAL, P99_GOAL = 0.70, 1.8, 2.0

LOAD = Load("/predict", msgspec.json.encode({"data": [ROW]}), {"content-type": "application/json"})
CROWDED = (
    "With two workers and wrk on few cores, wrk takes CPU from the fastest servers first, which draws the ratios "
    "together; the CPU a request is the better measure there."
)
COLUMNS = ("server", "requests/s", "ours / it", "p50 us", "p99 us", "ours / it, p99", "CPU us a request",
           "its CPU / ours", "cores busy")  # fmt: skip


def run(plan: Plan, folder: Path) -> Report:
    """Both models with one worker and with two; the goals are judged on iris with one."""
    models: dict[str, Callable[[Path], Path]] = {"tiny": tiny} if plan.quick else {"iris": iris, "tiny": tiny}
    variants = [(model, workers) for model in models for workers in ([1] if plan.quick else [1, 2])]
    files = {name: make(folder) for name, make in models.items()}
    found = {
        (model, workers): compare(alike(commands(files[model], workers), LOAD, answers(files[model])), plan, folder)
        for model, workers in variants
    }
    judged = found[variants[0]]
    return Report(
        goals=goals(judged, variants[0][0]),
        tables=tuple(table(f"{model}, {workers} worker{'s' * (workers > 1)}", shots)
                     for (model, workers), shots in found.items()),
        losses=tuple(losses(found)),
        notes=(CROWDED,),
        raw={f"{model}_{workers}": msgspec.to_builtins(shots) for (model, workers), shots in found.items()},
    )  # fmt: skip


def commands(model: Path, workers: int) -> dict[str, Command]:
    """The servers that are compared, by the name they have in tables."""
    found = {
        OURS: ours(str(model), workers=workers),
        BARE: peer("bare_asgi:app", model=model, workers=workers),
    }
    for name, app in zip(FASTAPI, ("with_def", "with_async_def"), strict=True):
        found[name] = peer(f"fastapi_by_hand:{app}", model=model, workers=workers)
    return found


def answers(model: Path) -> Callable[[bytes], bool]:
    """Whether a body holds what the model itself says of the row."""
    expected = answer_of(model, [ROW])[0]

    def right(body: bytes) -> bool:
        return bool(np.allclose(msgspec.json.decode(body)["prediction"], expected, atol=1e-6))

    return right


def goals(shots: Shots, model: str) -> tuple[Goal, ...]:
    bare, by_hand = ratio(shots[OURS], shots[BARE]), _over_fastapi(shots)
    late = ratio(shots[OURS], shots[BARE], _p99)
    spent = ratio(shots[BARE], shots[OURS], _cpu)
    what = f"one row of {model}, 1 worker:"
    return (
        Goal(f"{what} requests/s", f">= {BARE_GOAL:.2f} x bare ASGI handler", str(bare), bare.median >= BARE_GOAL),
        Goal(f"{what} the same by CPU a request", f">= {BARE_GOAL:.2f} x bare ASGI handler", str(spent),
             spent.median >= BARE_GOAL),
        Goal(f"{what} requests/s", f">= {FASTAPI_GOAL} x FastAPI by hand", str(by_hand),
             by_hand.median >= FASTAPI_GOAL),
        Goal(f"{what} p99", f"<= {P99_GOAL:.0f} x bare ASGI handler", str(late), late.median <= P99_GOAL),
    )  # fmt: skip


def table(title: str, shots: Shots) -> Table:
    rows = []
    for name, its in shots.items():
        itself = name == OURS
        rows.append((
            name,
            f"{middle(its, lambda s: s.rate):,.0f}",
            "" if itself else str(ratio(shots[OURS], its)),
            f"{middle(its, lambda s: s.p50):,.0f}",
            f"{middle(its, _p99):,.0f}",
            "" if itself else str(ratio(shots[OURS], its, _p99)),
            f"{middle(its, _cpu):.1f}",
            "" if itself else str(ratio(its, shots[OURS], _cpu)),
            f"{middle(its, lambda s: s.rate * s.cpu / 1e6):.2f}",
        ))  # fmt: skip
    return Table(title, COLUMNS, tuple(rows))


def losses(found: Mapping[tuple[str, int], Shots]) -> list[str]:
    sentences = []
    for (model, workers), shots in found.items():
        bare = ratio(shots[OURS], shots[BARE])
        more = middle(shots[OURS], _cpu) - middle(shots[BARE], _cpu)
        if bare.median < 1:
            sentences.append(
                f"One row of {model}, workers: {workers}: a bare handler without checks, limits, ids and metrics is "
                f"{1 / bare.median:.2f} times as fast; they cost {more:.0f} us of CPU a request."
            )
    return sentences


def _over_fastapi(shots: Shots) -> Ratio:
    """Against the faster of the two."""
    return min((ratio(shots[OURS], shots[name]) for name in FASTAPI), key=lambda found: found.median)


def _cpu(shot: Shot) -> float:
    return shot.cpu


def _p99(shot: Shot) -> float:
    return shot.p99
