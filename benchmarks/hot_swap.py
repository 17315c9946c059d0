"""How soon a release is served, and what the way there costs a request.

*Claim.* Every worker serves the version that an alias names within 1 s of its move, and HotSwap adds at most 3 us to a
prediction.

*Method.* Two versions of the iris model are registered in SQLite. `mlpatterns run model_load` serves them with two
workers; the alias moves to and fro, and `/metrics`, the sum over the workers, is asked every 5 ms until both serve what
it names. The clock starts when the write of the alias is committed. The time to load and check is the server's own
histogram. What HotSwap adds is taken in process, under uvloop: batches of 2,000 predictions of one row by the model
alone, in turn with as many through a HotSwap of the same version; the difference for one call, the median of the
batches.

*Why it is fair.* All settings are the defaults, the looks at the registry each quarter of a second among them, and
nobody asks the server for predictions meanwhile: under load it is as late as its loop is busy.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import numpy as np
import uvloop
from sqlalchemy.orm import Session

from benchmarks.models import trained_home
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.servers import Server, ours, serving
from mlpatterns import Context, HotSwap, InferenceRequest, OnnxModel, Predictor, Settings, running
from mlpatterns.model_db.database import engine, writing
from mlpatterns.model_db.resources import aliases
from mlpatterns.training import run as train

__all__ = ["run"]

MODEL, WORKERS, PATIENCE = "iris_sklearn_svc", 2, 30.0
SOON_GOAL, ADDED_GOAL = 1.0, 3.0
CALLS, BATCHES_A_REPEAT, MOVES_A_REPEAT = 2000, 15, 5


def run(plan: Plan, folder: Path) -> Report:
    """Moves the alias `plan.repeats` times five times, and asks the model with and without a HotSwap."""
    home = trained_home(folder)
    train(MODEL, home=home, options={"seed": 1})
    late, loads = _moved(plan, home, folder)
    added = uvloop.run(_added(plan, Settings(home=home)))
    rows = (
        _row("from the move until both workers serve it, s", late),
        _row("of it to load and check, s", loads),
        _row("added to a prediction, us", added),
    )
    worst, middle = max(late), median(added)
    goals = (
        Goal("from the move until both workers serve it", f"<= {SOON_GOAL:g} s", f"{worst:.2f} s at most",
             worst <= SOON_GOAL),
        Goal("HotSwap, added", f"<= {ADDED_GOAL:g} us", f"{middle:.2f} us", middle <= ADDED_GOAL),
    )  # fmt: skip
    table = Table("a release", ("what", "median", "least–most"), rows)
    return Report(goals=goals, tables=(table,), raw={"late": late, "added": added})


def _moved(plan: Plan, home: Path, folder: Path) -> tuple[list[float], list[float]]:
    made = writing(engine(f"sqlite:///{home / 'registry.db'}"))
    late = []
    with serving(ours("model_load", workers=WORKERS, home=home), "/health/ready", folder) as server:
        for number in range(plan.repeats * MOVES_A_REPEAT):
            version = 1 if number % 2 else 2
            with Session(made) as session, session.begin():
                aliases.move(session, MODEL, "champion", version, aliases.ANY)
            began = time.perf_counter()
            while _serving(server, version) < WORKERS:
                if time.perf_counter() - began > PATIENCE:
                    raise RuntimeError(f"version {version} was not served after {PATIENCE:g} s")
                time.sleep(0.005)
            late.append(time.perf_counter() - began)
        metrics = _metrics(server)
    made.dispose()
    seconds, count = (float(_value(metrics, f"mlpatterns_swap_seconds_{part}")) for part in ("sum", "count"))
    return late, [seconds / count]


def _metrics(server: Server) -> str:
    with urlopen(f"{server.url}/metrics", timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


def _serving(server: Server, version: int) -> float:
    """How many workers serve it."""
    return float(_value(_metrics(server), "mlpatterns_model_version", f'version="{version}"'))


def _value(metrics: str, name: str, label: str = "") -> str:
    found = re.search(rf"^{name}{{[^}}]*{label}[^}}]*}} (\S+)$", metrics, re.M)
    return found[1] if found else "0"


async def _added(plan: Plan, settings: Settings) -> list[float]:
    calls = 200 if plan.quick else CALLS
    alone, swap = OnnxModel(f"{MODEL}:1", run_on="loop"), HotSwap(f"{MODEL}:1", _on_the_loop)
    added = []
    async with running(alone, swap, settings=settings):
        for _ in range(1 + plan.repeats * BATCHES_A_REPEAT):
            without = await _seconds(alone, calls)
            added.append(1e6 * (await _seconds(swap, calls) - without) / calls)
    return added[1:]  # the first batch warms up


def _on_the_loop(reference: object) -> Predictor:
    return OnnxModel(str(reference), run_on="loop")


async def _seconds(predictor: Predictor, calls: int) -> float:
    request = InferenceRequest({"input": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)}, Context("0"))
    began = time.perf_counter()
    for _ in range(calls):
        await predictor.predict(request)
    return time.perf_counter() - began


def _row(what: str, values: list[float]) -> tuple[str, str, str]:
    return what, f"{median(values):.2f}", f"{min(values):.2f}–{max(values):.2f}"
