"""Many rows in one request.

*Claim.* None; a picture of where the framework's cost disappears: rows a second with 1, 10, 100 and 1,000 rows of
iris in one `POST /predict`.

*Method.* As the hot path, ours against the bare ASGI handler, one worker.

*Why it is fair.* As the hot path; the bare handler checks nothing of what it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.hot_path import BARE, OURS
from benchmarks.models import ROW, answer_of, iris, tiny
from benchmarks.records import Plan, Report, Table
from benchmarks.rounds import Shots, alike, compare, middle, ratio
from benchmarks.servers import ours, peer
from benchmarks.wrk import Load
from mlpatterns.metadata import Array

__all__ = ["run"]

SIZES = (1, 10, 100, 1000)
COLUMNS = ("rows a request", "ours, rows/s", "bare, rows/s", "ours / bare", "ours, CPU us a row", "bare, CPU us a row")


def run(plan: Plan, folder: Path) -> Report:
    """Each size by itself, both servers under the same load."""
    model = tiny(folder) if plan.quick else iris(folder)
    found = {size: _size(size, model, plan, folder) for size in (SIZES[1:2] if plan.quick else SIZES)}
    slower = [size for size, shots in found.items() if ratio(shots[OURS], shots[BARE]).median < 0.9]
    return Report(
        tables=(Table("rows of iris, 1 worker", COLUMNS, tuple(_row(size, its) for size, its in found.items())),),
        losses=(f"Fewer rows a second than the bare handler (under 0.9 of them) with {_listed(slower)} in a request.",)
        if slower else (),
        raw={str(size): msgspec.to_builtins(shots) for size, shots in found.items()},
    )  # fmt: skip


def _size(size: int, model: Path, plan: Plan, folder: Path) -> Shots:
    rows = (np.array([ROW]) + np.linspace(0, 1, size)[:, None].round(3)).round(3)  # rows that differ
    load = Load("/predict", msgspec.json.encode({"data": rows.tolist()}), {"content-type": "application/json"})
    commands = {OURS: ours(str(model)), BARE: peer("bare_asgi:app", model=model)}
    return compare(alike(commands, load, _right(answer_of(model, rows))), plan, folder)


def _right(expected: Array) -> Callable[[bytes], bool]:
    def right(body: bytes) -> bool:
        found = np.array(msgspec.json.decode(body)["prediction"]).reshape(-1, expected.shape[1])
        return found.shape == expected.shape and bool(np.allclose(found, expected, atol=1e-5))

    return right


def _row(size: int, shots: Shots) -> tuple[str, ...]:
    def rows(name: str) -> str:
        return f"{size * middle(shots[name], lambda s: s.rate):,.0f}"

    def cpu(name: str) -> str:
        return f"{middle(shots[name], lambda s: s.cpu) / size:.2f}"

    return f"{size:,}", rows(OURS), rows(BARE), str(ratio(shots[OURS], shots[BARE])), cpu(OURS), cpu(BARE)


def _listed(sizes: list[int]) -> str:
    return f"{', '.join(f'{size:,}' for size in sizes)} row{'s' * (sizes != [1])}"
