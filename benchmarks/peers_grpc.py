"""Calls over gRPC: one row, and one image.

*Claim.* A ModelInfer of the Open Inference Protocol with one row of iris is answered at least 1.4 times as often as by
MLServer 1.7, and one with an image at least 6 times as often.

*Method.* A closed loop of 4 connections with 4 calls in flight on each, from a process that writes frames of HTTP/2
itself: gRPC's own Python client needs more CPU for a call than a server does, and would be what is measured. Rounds
as in the comparison of one row, one worker. The floor is a `grpc.aio` handler that answers with bytes prepared before
it started: what gRPC's Python server itself costs.

*Why it is fair.* Both servers get the same bytes, with tensors as raw contents, made by neither's code; answers are
compared with ONNX Runtime's own. MLServer is tried with and without its inference pool, and the faster counts.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.binary_tensor import TENSOR
from benchmarks.calls import Call
from benchmarks.forms import MLSERVER, Form, mlserver
from benchmarks.heats import fastest, glances, heat_table, present, shortened, verdicts
from benchmarks.heavy import heavy
from benchmarks.hot_path import OURS, table
from benchmarks.messages import answer, raw_outputs, request
from benchmarks.models import ROW, identity, iris, names_of, run_model, tiny
from benchmarks.records import Goal, Plan, Report
from benchmarks.rounds import Entrant, Shots, compare, ratio
from benchmarks.servers import Command, free_port, ours
from mlpatterns.metadata import Array

__all__ = ["run"]

FLOOR = "empty grpc.aio handler"
GOALS = {"iris": 1.4, "image, identity": 6.0}  # times MLServer's calls a second
IMAGE = np.frombuffer(TENSOR, "<f4").reshape(1, 3, 224, 224)


def run(plan: Plan, folder: Path) -> Report:
    """A heat on the first model, then every model."""
    plan = shortened(plan)
    peers, notes = present((MLSERVER,), plan)
    models = _models(plan, folder)
    first = next(iter(models.values()))
    chosen, heat = fastest([_pool(0), _pool(1)], peers, first, 1, plan, folder)
    found = {name: compare(_entrants(model, chosen, folder), plan, folder) for name, model in models.items()}
    return Report(
        goals=tuple(goal for name, shots in found.items() for goal in _goals(shots, name)),
        tables=(
            *(table(f"gRPC, {name}, 1 worker", shots) for name, shots in found.items()),
            *heat_table("the heat", heat),
        ),
        glances=tuple(line for name, shots in found.items() for line in glances(f"gRPC: {name}", OURS, shots)),
        losses=tuple(line for name, shots in found.items() for line in verdicts(f"gRPC, {name}", OURS, shots)),
        notes=tuple(notes),
        raw={"shots": msgspec.to_builtins(found), "heat": msgspec.to_builtins(heat)},
    )


def _models(plan: Plan, folder: Path) -> dict[str, Path]:
    if plan.quick:
        return {"5 us model": tiny(folder)}
    copy = folder / "iris.onnx"
    shutil.copyfile(iris(folder), copy)  # its name is the model's, for every server
    return {
        "iris": copy,
        "5 us model": tiny(folder),
        "5 ms model": heavy(folder, 5),
        "image, identity": identity(folder),
    }


def _entrants(model: Path, chosen: Mapping[str, Form], folder: Path) -> dict[str, Entrant]:
    """The floor runs no model, so that it is no measure where the model is what takes the time."""
    floor = {} if model.stem == "ms5" else {FLOOR: _floor(model, folder)}
    return {OURS: _ours(model), **floor, **{form.name: form.entrant(model, 1) for form in chosen.values()}}


def _ours(model: Path) -> Entrant:
    port = free_port()
    return _asked(model, ours(str(model), "--grpc-port", str(port)), port)


def _floor(model: Path, folder: Path) -> Entrant:
    file, port = folder / f"{model.stem}.answer", free_port()
    file.write_bytes(answer(model.stem, "output", run_model(model, _input(model))))
    command = (sys.executable, "-m", "benchmarks.peers.grpc_floor", str(file), str(port))
    return _asked(model, Command(command, {}), port)


def _pool(size: int) -> Form:
    def entrant(model: Path, workers: int) -> Entrant:
        port = free_port()
        return _asked(model, mlserver("Arrays", model, size, port), port)

    return Form(MLSERVER, f"MLServer, inference pool of {size}" if size else "MLServer, no inference pool", entrant)


def _asked(model: Path, command: Command, port: int) -> Entrant:
    """One call with the model's own names; the answer is compared with ONNX Runtime's."""
    given, wanted = names_of(model)
    array = _input(model)
    expected = np.ravel(run_model(model, array))

    def right(message: bytes) -> bool:
        found = raw_outputs(message)
        return len(found) == 1 and found[0].shape == expected.shape and bool(np.allclose(found[0], expected, atol=1e-5))

    return Entrant(command, Call(request(model.stem, given, array, wanted), port), right)


def _input(model: Path) -> Array:
    return IMAGE if model.stem == "identity" else np.array([ROW], dtype=np.float32)


def _goals(shots: Shots, model: str) -> tuple[Goal, ...]:
    """Against MLServer, if it is here and there is a goal for the model."""
    goal = GOALS.get(model)
    if goal is None:
        return ()
    measured = [ratio(shots[OURS], its) for name, its in shots.items() if name.startswith(MLSERVER)]
    what = f"one call of {model}, 1 worker: calls/s"
    return tuple(Goal(what, f">= {goal:g} x MLServer", str(its), its.median >= goal) for its in measured)
