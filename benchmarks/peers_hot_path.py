"""One row over HTTP, against other model servers.

*Claim.* `POST /predict` with one row of iris answers at least 3 times the requests a second of MLServer 1.7; LitServe
0.2 and BentoML 1.4 are beside it. The slower the model, the less any of it matters: with 20 ms it makes no difference.

*Method.* As the hot path, in turns of two seconds. First a heat with one row of iris: all forms in which a peer's guide
would serve it; the fastest goes on. Then iris, a model of 5 us, and two of 5 and 20 ms (products of matrices on one
thread; the very same file for all), with one worker and with two. The bare ASGI handler of the hot path is the ceiling.

*Why it is fair.* Each peer has an environment of its own, with the same ONNX Runtime and numpy as ours, with uvloop and
httptools even where it does not ask for them, no access logs, and one thread a call. Its JSON has the shape of its own
guide. Our answer to the very body that MLServer gets, on the same path of the same protocol, is a line of its own. A
worker is a process that runs the model: LitServe has one for HTTP beside each, and so more cores with one worker.
MLServer with two workers is an inference pool of two behind one process for HTTP, which is all it has.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from benchmarks.forms import BENTOML, LITSERVE, MLSERVER, oip_row, right_at, row_forms
from benchmarks.heats import Forms, fastest, glances, heat_table, present, shortened, verdicts, weigh
from benchmarks.heavy import heavy, milliseconds_of
from benchmarks.hot_path import BARE, CROWDED, LOAD, OURS, answers, table
from benchmarks.models import iris, tiny
from benchmarks.records import Goal, Plan, Report
from benchmarks.rounds import Entrant, Shots, compare, ratio
from benchmarks.servers import ours, peer

__all__ = ["OURS_OIP", "run"]

OURS_OIP = "mlpatterns run, the call MLServer gets"
GOAL = 3.0
CALIBRATED = (5.0, 20.0)  # milliseconds


def run(plan: Plan, folder: Path) -> Report:
    """Heats, then every workload; the goal is judged on iris with one worker."""
    plan = shortened(plan)
    peers, notes = present((MLSERVER, LITSERVE, BENTOML), plan)
    models = _models(plan, folder)
    judged, first = next(iter(models.items()))
    counts = [1] if plan.quick else [1, 2]
    chosen, heats = {}, {}
    for workers in counts:
        chosen[workers], heats[workers] = fastest(row_forms(workers), peers, first, workers, plan, folder)
    found = {
        _titled(name, workers): compare(_entrants(model, workers, chosen[workers]), plan, folder)
        for workers in counts
        for name, model in models.items()
        if workers == 1 or name != "5 us model"
    }
    sizes, megabytes = weigh({} if plan.quick else _entrants(first, 1, chosen[1]), folder)
    return Report(
        goals=_goals(found[_titled(judged, 1)], judged),
        tables=(
            *(table(title, shots) for title, shots in found.items()),
            *sizes,
            *(
                heat
                for workers, shots in heats.items()
                for heat in heat_table(f"the heat, {_titled(judged, workers)}", shots)
            ),
        ),
        glances=tuple(line for title, shots in found.items() for line in glances(f"row: {title}", OURS, shots)),
        losses=tuple(line for title, shots in found.items() for line in verdicts(f"One row, {title}", OURS, shots)),
        notes=(*notes, *_durations(models), CROWDED),
        raw={
            "shots": msgspec.to_builtins(found),
            "heats": {str(workers): msgspec.to_builtins(shots) for workers, shots in heats.items()},
            "megabytes": megabytes,
        },
    )


def _models(plan: Plan, folder: Path) -> dict[str, Path]:
    if plan.quick:
        return {"5 us model": tiny(folder)}
    copy = folder / "iris.onnx"
    shutil.copyfile(iris(folder), copy)  # its name is the model's, for every server
    slow = {f"{milliseconds:g} ms model": heavy(folder, milliseconds) for milliseconds in CALIBRATED}
    return {"iris": copy, "5 us model": tiny(folder), **slow}


def _entrants(model: Path, workers: int, chosen: Forms) -> dict[str, Entrant]:
    right = answers(model)
    found = {
        OURS: Entrant(ours(str(model), workers=workers), LOAD, right),
        BARE: Entrant(peer("bare_asgi:app", model=model, workers=workers), LOAD, right),
    }
    if workers == 1:
        found[OURS_OIP] = Entrant(ours(str(model)), oip_row(model), right_at(model, "outputs", -1, "data"))
    return {**found, **{form.name: form.entrant(model, workers) for form in chosen.values()}}


def _goals(shots: Shots, model: str) -> tuple[Goal, ...]:
    """Against MLServer, if it is here."""
    measured = [ratio(shots[OURS], its) for name, its in shots.items() if name.startswith(MLSERVER)]
    what = f"one row of {model}, 1 worker: requests/s"
    return tuple(Goal(what, f">= {GOAL:g} x MLServer", str(its), its.median >= GOAL) for its in measured)


def _durations(models: dict[str, Path]) -> list[str]:
    measured = ", ".join(f"{name}: {milliseconds_of(model):.3g} ms" for name, model in models.items())
    return [f"One row in ONNX Runtime itself, one thread, nothing around it: {measured}."]


def _titled(model: str, workers: int) -> str:
    return f"{model}, {workers} worker{'s' * (workers > 1)}"
