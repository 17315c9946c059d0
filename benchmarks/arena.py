"""What a worker weighs after batches of all sizes, with ONNX Runtime's arena and without it.

*Claim.* With `arena="off"` a worker's resident memory after 10,000 predictions of 1 to 512 rows is within 20 MB of
what it was before them. With `arena="keep"`, the default, it stays as large as its largest batches at once made it.

*Method.* A model of 16 columns, a hidden layer of 4,096 units and ten scores, in a process of its own, without a
server. Each prediction has a random number of rows; one or four are under way at once. The resident memory is read
after each. The cost is CPU of the whole process for a prediction, and the fastest of nine rounds of 200 calls with one
row.

*Why it is fair.* The sizes are the same in all processes, which run one after another; the C library's own arenas are
bounded as they are in every worker.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import save_graph
from benchmarks.records import Goal, Plan, Report, Table

__all__ = ["run"]

COLUMNS, HIDDEN, SCORES = 16, 4096, 10
PREDICTIONS, QUICK_PREDICTIONS = 10_000, 100
AT_ONCE = (1, 4)
MOST_GROWN = 20  # megabytes


def run(plan: Plan, folder: Path) -> Report:
    """Predicts in a process for each arena and each number of predictions at once."""
    model, count = _model(folder), QUICK_PREDICTIONS if plan.quick else PREDICTIONS
    found = {(arena, at_once): _measured(model, arena, count, at_once) for at_once in AT_ONCE
             for arena in ("keep", "off")}  # fmt: skip
    grown = max(found["off", at_once]["after"] - found["off", at_once]["before"] for at_once in AT_ONCE)
    goal = Goal("grown by the predictions, arena off", f"<= {MOST_GROWN} MB", f"{grown:.0f} MB", grown <= MOST_GROWN)
    columns = ("arena", "at once", "before", "at most", "after", "CPU a prediction", "one row alone")
    rows = tuple(
        (arena, str(at_once), *(f"{one[key]:.0f} MB" for key in ("before", "most", "after")),
         f"{1e6 * one['cpu']:.0f} µs", f"{1e6 * one['one']:.0f} µs")
        for (arena, at_once), one in found.items()
    )  # fmt: skip
    raw = {"weights": {f"{arena}, {at_once}": one for (arena, at_once), one in found.items()},
           "one row": {f"{arena}, {at_once}": one["one"] for (arena, at_once), one in found.items()}}  # fmt: skip
    note = "`memory.enable_memory_arena_shrinkage` was tried too: no smaller after the runs, and no cheaper."
    table = Table(f"{count:,} predictions of 1 to 512 rows", columns, rows)
    return Report(goals=(goal,), tables=(table,), notes=(note,), raw=raw)


def _measured(model: Path, arena: str, count: int, at_once: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.arena_child", str(model), arena, str(count), str(at_once)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _model(folder: Path) -> Path:
    from onnx import TensorProto, helper

    chance = np.random.default_rng(7)
    weights = {
        "first": chance.standard_normal((COLUMNS, HIDDEN)).astype(np.float32),
        "last": chance.standard_normal((HIDDEN, SCORES)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["input", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "last"], ["scores"]),
    ]
    constants: list[Any] = [
        helper.make_tensor(name, TensorProto.FLOAT, its.shape, its.tobytes(), raw=True) for name, its in weights.items()
    ]
    rows = helper.make_tensor_value_info("input", TensorProto.FLOAT, (None, COLUMNS))
    found = helper.make_tensor_value_info("scores", TensorProto.FLOAT, (None, SCORES))
    return save_graph(folder / "wide.onnx", helper.make_graph(nodes, "wide", [rows], [found], constants))
