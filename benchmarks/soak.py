"""What half an hour of everything leaves behind: memory, file descriptors, threads, tasks, disk.

*Claim.* Nothing grows with time: the last minute's figures are the first's, but for what is kept on purpose (the log,
the jobs' results until their time to live is over) and a warm allocator.

*Method.* `mlpatterns up` serves all systems from a fresh home, and beside it `mlpatterns run benchmarks/soak_app.py`
with two workers and gRPC: a HotSwap that is shadowed by a candidate that is dead. For 30 minutes both are asked: every
system's sample, rows of varying batch size, cached and split by user, jobs that are waited for, predictions and their
feedback, gRPC calls of which a tenth are cancelled, pages, connections that are left amid an answer, a swap every ten
seconds, and rows that drift in the middle third. Every five seconds each process is looked at by psutil, and a thread
inside of it counts tasks. A figure is the median of its minute; the first minute begins when half a minute is over.

*Why it is fair.* Nothing is restarted or cleared meanwhile, and all settings are the defaults.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from time import monotonic

import psutil
from msgspec import Struct, structs

from benchmarks.models import trained_home
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.servers import ROOT, TREE, Command, Server, free_port, ours, serving
from benchmarks.soak_traffic import TOKEN, Places, Traffic
from mlpatterns.training import run as train

__all__ = ["run"]

SECONDS, QUICK_SECONDS, WARM, EVERY = 1800.0, 16.0, 30.0, 5.0
GROWTH = 1.2  # of the memory of the first minute
MOST_NOTES = 10
TRAIN = 600.0  # seconds for `up` to train what is missing
SLACK = 20  # connections and tasks that come and go
MODEL, DRIFTS = "iris_sklearn_svc", "sepal_length"
FIGURES = {
    "memory": "memory, MB", "descriptors": "descriptors", "threads": "threads", "tasks": "tasks", "disk": "disk, MB",
}  # fmt: skip


class Look(Struct, frozen=True):
    """A server's figures at one time, over all its processes; `disk` is of the home."""

    at: float
    memory: float
    descriptors: float
    threads: float
    tasks: float
    disk: float


def run(plan: Plan, folder: Path) -> Report:
    """Serves, asks and looks."""
    seconds = QUICK_SECONDS if plan.quick else SECONDS
    home = trained_home(folder)
    train(MODEL, home=home, options={"seed": 1})
    watch = folder / "watch"
    watch.mkdir()
    grpc = free_port()
    with ExitStack() as stack:
        up = stack.enter_context(serving(_up(home, watch), "/web_single/health/ready", folder, patience=TRAIN))
        beside = stack.enter_context(serving(_beside(home, watch, grpc), "/health/ready", folder))
        traffic = Traffic(Places(up.url, beside.url, f"127.0.0.1:{grpc}"), seconds)
        watching = Watching({"up": up, "beside": beside}, home, watch)
        watching.start()
        asyncio.run(traffic.run())
        watching.end()
    report = _report(watching.looks, traffic, seconds)
    said = [line for log in folder.glob("server-*.log") for line in _troubles(log)]
    silent = Goal("tracebacks in the servers' logs", "0", str(len(said)), not said)
    return structs.replace(report, goals=(*report.goals, silent), notes=tuple(said[:MOST_NOTES]))


def _troubles(log: Path) -> list[str]:
    """The last line of each traceback."""
    return re.findall(r"^Traceback.*\n(?:\s.*\n|\n)*(\S.*)", log.read_text(errors="replace"), re.MULTILINE)


def _up(home: Path, watch: Path) -> Command:
    started = ours("up", home=home)
    return Command((*started.arguments[:3], "up", "--port"), _environment(started, watch))


def _beside(home: Path, watch: Path, grpc: int) -> Command:
    started = ours(str(ROOT / "benchmarks/soak_app.py"), "--grpc-port", str(grpc), workers=2, home=home)
    return Command(started.arguments, _environment(started, watch))


def _environment(started: Command, watch: Path) -> dict[str, str]:
    path = os.pathsep.join((str(ROOT / "benchmarks/soak_watch"), TREE))
    return {**started.environment, "PYTHONPATH": path, "SOAK_WATCH": str(watch), "MLPATTERNS_ADMIN_TOKEN": TOKEN}


class Watching(threading.Thread):
    """Looks at servers until it is told to end."""

    def __init__(self, servers: dict[str, Server], home: Path, watch: Path) -> None:
        super().__init__()
        self._servers, self._home, self._watch = servers, home, watch
        self._began, self._ended = monotonic(), threading.Event()
        self.looks: dict[str, list[Look]] = {name: [] for name in servers}

    def run(self) -> None:
        while not self._ended.wait(EVERY):
            for name, server in self._servers.items():
                self.looks[name].append(self._look(server))

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _look(self, server: Server) -> Look:
        memory, descriptors, threads, tasks = 0.0, 0, 0, 0
        for process in server.family():
            with suppress(psutil.NoSuchProcess):
                memory += process.memory_full_info().pss / 1e6
                descriptors += process.num_fds()
                threads += process.num_threads()
                tasks += self._tasks(process.pid)
        return Look(monotonic() - self._began, memory, descriptors, threads, tasks, _megabytes(self._home))

    def _tasks(self, pid: int) -> int:
        file = self._watch / str(pid)
        words = file.read_text().split() if file.exists() else []
        return int(words[1]) if len(words) == 2 else 0


def _megabytes(folder: Path) -> float:
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a journal that has just been removed
            total += file.stat().st_size
    return total / 1e6


def _report(looks: dict[str, list[Look]], traffic: Traffic, seconds: float) -> Report:
    minutes = {
        name: [_minute(seen, begin) for begin in (WARM, seconds / 2, seconds - 60)] for name, seen in looks.items()
    }
    rows = tuple(
        (name, title, *(f"{getattr(minute, field):.0f}" for minute in three))
        for name, three in minutes.items()
        for field, title in FIGURES.items()
    )
    columns = ("server", "what", "first minute", "the middle", "last minute")
    asked, failed = (tuple((what, str(n)) for what, n in sorted(c.items())) for c in (traffic.asked, traffic.failed))
    tables = (
        Table(f"what {seconds / 60:.0f} minutes leave", columns, rows),
        Table("what was asked", ("what", "times"), asked),
        Table("what was not answered as it should be", ("what", "times"), failed),
    )
    return Report(goals=(*_grown(minutes), *_answered(traffic, seconds)), tables=tables, raw=_raw(looks))


def _grown(minutes: dict[str, list[Look]]) -> Iterator[Goal]:
    for name, (first, _, last) in minutes.items():
        growth = last.memory / first.memory
        what = f"{name}: memory of the last minute, of the first's"
        yield Goal(what, f"<= {GROWTH:g} x", f"{growth:.2f} x", growth <= GROWTH)
        for field in ("descriptors", "threads", "tasks"):
            before, after = getattr(first, field), getattr(last, field)
            yield Goal(f"{name}: {field}", f"<= {before} + {SLACK}", str(after), after <= before + SLACK)


def _answered(traffic: Traffic, seconds: float) -> Iterator[Goal]:
    failed, asked = sum(traffic.failed.values()), sum(traffic.asked.values())
    yield Goal("requests that were not answered as they should be", "0", f"{failed} of {asked}", failed == 0)
    if seconds == SECONDS:  # a short run is over before the monitor's first window
        said = f"{', '.join(sorted(traffic.early)) or 'none'}; {', '.join(sorted(traffic.alerts)) or 'none'}"
        right = not traffic.early and DRIFTS in traffic.alerts
        yield Goal("alerts before the drift; alerts of it", f"none; {DRIFTS}", said, right)


def _minute(seen: Sequence[Look], begin: float) -> Look:
    """The medians of the minute that begins at `begin`, or of the last looks where it has not that many."""
    found = [look for look in seen if begin <= look.at < begin + 60] or list(seen[-3:])
    return Look(begin, *(median(getattr(look, field) for look in found) for field in FIGURES))


def _raw(looks: dict[str, list[Look]]) -> dict[str, list[list[float]]]:
    """Every half minute."""
    return {
        name: [[round(getattr(look, field), 1) for field in ("at", *FIGURES)] for look in seen[::6]]
        for name, seen in looks.items()
    }
