"""Batches of what arrives at once.

*Claim.* A convolutional network of about 5 ms an image, asked for one image by each of 32 clients at once, answers with
`--batch` at least 0.9 times the images a second of the model itself in its best batch; LitServe 0.2 with its batches is
beside it. One client alone waits no longer with `--batch` than without.

*Method.* wrk, 1 thread, 32 connections (1 for the client alone), each server by itself; otherwise as the hot path. The
model itself is ONNX Runtime in a loop, in batches of 1 to 64, the shortest of some calls, with as many threads as the
server gives it.

*Why it is fair.* The same ONNX file. LitServe is tried with batches of 8, 16 and 32, a `batch_timeout` of 1 ms, and the
threads of ONNX Runtime's own choice and one thread; the fastest counts. What is loaded shares the cores with wrk, so
the server cannot have all that the model alone had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from benchmarks.forms import JSON, LITSERVE, litserve
from benchmarks.heats import present, shortened
from benchmarks.models import run_model, save_graph
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.rounds import Check, Entrant, Shots, compare, middle, ratio
from benchmarks.servers import Command, ours
from benchmarks.wrk import Load, Shot

__all__ = ["run"]

BATCHED, UNBATCHED = "mlpatterns run --batch", "mlpatterns run"
SIDE, CLIENTS, GOAL = 32, 32, 0.9
SIZES = (1, 2, 4, 8, 16, 32, 64)
CALLS = 7
CHANNELS, QUICK_CHANNELS = 144, 4


def run(plan: Plan, folder: Path) -> Report:
    """The model alone, then the servers with 32 clients, then with one."""
    plan = shortened(plan)
    model = _network(folder / "network.onnx", QUICK_CHANNELS if plan.quick else CHANNELS)
    image = np.random.default_rng(5).random((1, SIDE * SIDE), dtype=np.float32).round(4)
    load = Load("/predict", msgspec.json.encode({"data": image.tolist()}), JSON, CLIENTS)
    right = _right(run_model(model, image)[0])
    alone = {size: _rows_a_second(model, size) for size in SIZES}
    best = max(alone.values())
    peers, notes = present((LITSERVE,), plan)
    shots = {"32 clients": _apart({**_ours(model), **(_lit(model) if peers else {})}, load, right, plan, folder)}
    one = replace(load, connections=1)
    shots["1 client"] = compare(
        {name: Entrant(command, one, right) for name, command in _ours(model).items()}, plan, folder
    )
    reached = middle(shots["32 clients"][BATCHED], lambda s: s.rate) / best
    waits = ratio(shots["1 client"][BATCHED], shots["1 client"][UNBATCHED], lambda s: s.p50)
    return Report(
        goals=(
            Goal("32 clients, images/s with --batch", f">= {GOAL} x the model's own in its best batch",
                 f"{reached:.2f}", reached >= GOAL),
            Goal("1 client, p50 with --batch", "<= 1.05 x without", str(waits), waits.median <= 1.05),
        ),
        tables=(
            Table("the model itself", ("images a call", "images/s"),
                  tuple((str(size), f"{rate:,.0f}") for size, rate in alone.items())),
            *(_table(title, its) for title, its in shots.items()),
        ),
        notes=tuple(notes),
        raw={"alone": {str(size): rate for size, rate in alone.items()}, "shots": msgspec.to_builtins(shots)},
    )  # fmt: skip


def _apart(commands: Mapping[str, Command], load: Load, right: Check, plan: Plan, folder: Path) -> Shots:
    """Each server while no other runs: one that has nothing to do may still take a core, and all of them need both."""
    found: dict[str, Sequence[Shot]] = {}
    for name, command in commands.items():
        found |= compare({name: Entrant(command, load, right)}, plan, folder)
    return found


def _ours(model: Path) -> dict[str, Command]:
    return {BATCHED: ours(str(model), "--batch"), UNBATCHED: ours(str(model))}


def _lit(model: Path) -> dict[str, Command]:
    found = {}
    for batch in (8, 16, 32):
        for threads in (0, 1):
            command = litserve("BatchedRows", "fast", batch, model, 1)
            its = {**command.environment, "PEER_THREADS": str(threads)}
            name = f"LitServe, batches of {batch}, {threads or 'all'} thread{'s' * (threads != 1)}"
            found[name] = Command(command.arguments, its)
    return found


def _table(title: str, shots: Shots) -> Table:
    rows = []
    for name, its in shots.items():
        above = "" if name == BATCHED else str(ratio(shots[BATCHED], its))
        rows.append((name, f"{middle(its, lambda s: s.rate):,.0f}", above,
                     f"{middle(its, lambda s: s.p50) / 1000:.1f}", f"{middle(its, lambda s: s.p99) / 1000:.1f}",
                     f"{middle(its, lambda s: s.cpu) / 1000:.1f}"))  # fmt: skip
    columns = ("server", "images/s", "--batch / it", "p50 ms", "p99 ms", "CPU ms an image")
    return Table(title, columns, tuple(rows))


def _rows_a_second(model: Path, size: int) -> float:
    """Images a second of ONNX Runtime itself in calls of `size`: the best of some."""
    from onnxruntime import InferenceSession

    session = InferenceSession(str(model), providers=["CPUExecutionProvider"])
    images = {"input": np.random.default_rng(size).random((size, SIDE * SIDE), dtype=np.float32)}
    session.run(None, images)
    took = []
    for _ in range(CALLS):
        began = perf_counter()
        session.run(None, images)
        took.append(perf_counter() - began)
    return size / min(took)


def _right(expected: Any) -> Callable[[bytes], bool]:
    return lambda body: bool(np.allclose(msgspec.json.decode(body)["prediction"], expected, atol=1e-4))


def _network(path: Path, channels: int) -> Path:
    """Grey images of 32 x 32 as rows of pixels, four convolutions of 3 x 3, a mean over the places, ten classes."""
    from onnx import TensorProto, helper

    chance = np.random.default_rng(3)
    weights: dict[str, Any] = {}
    nodes = [helper.make_node("Reshape", ["input", "shape"], ["c0"])]
    for layer in range(4):
        before = 1 if layer == 0 else channels
        weights[f"w{layer}"] = (chance.standard_normal((channels, before, 3, 3)) * np.sqrt(2 / (9 * before))).astype(
            np.float32
        )  # He and others, 2015: what keeps the size of values through layers of Relu
        nodes += [
            helper.make_node("Conv", [f"c{layer}", f"w{layer}"], [f"a{layer}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"a{layer}"], [f"c{layer + 1}"]),
        ]
    weights["dense"] = chance.standard_normal((channels, 10)).astype(np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", ["c4"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, its.shape, its.tobytes(), raw=True) for name, its in weights.items()
    ]
    constants.append(helper.make_tensor("shape", TensorProto.INT64, (4,), [-1, 1, SIDE, SIDE]))
    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, (None, SIDE * SIDE))
    found = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, (None, 10))
    return save_graph(path, helper.make_graph(nodes, path.stem, [pixels], [found], constants))
