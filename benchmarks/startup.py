"""From the command to the first answer, and what a worker weighs.

*Claim.* `mlpatterns run web_single` answers `/health/ready` with 200 within 1.5 s of its start, `import mlpatterns`
takes at most 0.3 s, and a worker weighs at most 120 MB after 1,000 predictions.

*Method.* Seven starts, each a process of its own that is asked every 5 ms until it is ready; the clock starts before
the process is made. Then 1,000 predictions over one connection, then the proportional set size of each worker (PSS:
pages that several processes share are divided among them). Medians. One worker shares with nobody, so its PSS is the
largest; two are shown beside it. Imports are timed inside a fresh interpreter, without its own start.

*Why it is fair.* The files are in the page cache, as after any first start; the model is trained and registered
before. Python starts as any user's does, with byte code compiled.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil

from benchmarks.hot_path import LOAD
from benchmarks.models import tiny, trained_home
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.servers import Command, Server, ours, serving

__all__ = ["run"]

READY_GOAL, IMPORT_GOAL, PSS_GOAL = 1.5, 0.3, 120
REQUESTS = 1000
IMPORTS = {
    "import mlpatterns": "import mlpatterns",
    "every public name of it": "from mlpatterns import *",
}
TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def run(plan: Plan, folder: Path) -> Report:
    """Starts with one and with two workers, and imports, each `plan.repeats` times."""
    raw: dict[str, list[float]] = {name: [_import(code) for _ in range(plan.repeats)] for name, code in IMPORTS.items()}
    for workers in [1] if plan.quick else [1, 2]:
        command = _web_single(plan, folder, workers)
        found = [_start(command, folder) for _ in range(plan.repeats)]
        raw[f"start to ready, {workers} worker{'s' * (workers > 1)}"] = [seconds for seconds, _ in found]
        raw[f"PSS a worker, {workers} worker{'s' * (workers > 1)}"] = [megabytes for _, megabytes in found]
    goals = (
        _goal(raw, "start to ready, 1 worker", READY_GOAL, "s"),
        _goal(raw, "import mlpatterns", IMPORT_GOAL, "s"),
        _goal(raw, "PSS a worker, 1 worker", PSS_GOAL, "MB"),
    )
    rows = tuple(_row(name, values) for name, values in raw.items())
    table = Table("start and size", ("what", "median", "least–most"), rows)
    return Report(goals=goals, tables=(table,), raw=dict(raw))


def _web_single(plan: Plan, folder: Path, workers: int) -> Command:
    if plan.quick:
        return ours(str(tiny(folder)), workers=workers)
    return ours("web_single", workers=workers, home=trained_home(folder))


def _start(command: Command, folder: Path) -> tuple[float, float]:
    """(seconds to ready, megabytes of PSS a worker after the requests)."""
    with serving(command, "/health/ready", folder) as server:
        seconds = perf_counter() - server.began
        _load(server)
        weights = [_megabytes(process) for process in _workers(server)]
    return seconds, sum(weights) / len(weights)


def _load(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(REQUESTS):
        connection.request("POST", LOAD.path, LOAD.body, dict(LOAD.headers))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"/predict answers {answer.status}")
    connection.close()


def _workers(server: Server) -> list[psutil.Process]:
    """The processes that serve: the children of a supervisor, or the one process."""
    family = server.family()
    return family[1:] or family


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / 1e6


def _import(code: str) -> float:
    found = subprocess.run([sys.executable, "-c", TIMED.format(code)], capture_output=True, text=True, check=True)
    return float(found.stdout)


def _goal(raw: dict[str, list[float]], what: str, most: float, unit: str) -> Goal:
    measured = median(raw[what])
    return Goal(what, f"<= {most} {unit}", f"{measured:.3g} {unit}", measured <= most)


def _row(name: str, values: list[float]) -> tuple[str, str, str]:
    unit = "MB" if name.startswith("PSS") else "s"
    return name, f"{median(values):.3g} {unit}", f"{min(values):.3g}–{max(values):.3g}"
