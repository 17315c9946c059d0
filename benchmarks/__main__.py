"""`python -m benchmarks [NAME …] [--quick] [--out FOLDER]`: runs benchmarks, prints the results, writes RESULTS.md."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from subprocess import SubprocessError
from time import perf_counter

from benchmarks.machine import this_machine
from benchmarks.records import FULL, QUICK, Benchmark, Plan, Report
from benchmarks.results import Entry, as_text, load_entries, render, save_entries
from benchmarks.wrk import missing_wrk

__all__ = ["NAMES", "main", "measure"]

NAMES = (
    "hot_path", "new_connections", "peers_hot_path", "pieces", "startup", "arena", "binary_tensor",
    "peers_binary_tensor", "peers_grpc", "grpc_floods", "batch_rows", "batcher", "batch", "job_queue", "prediction_log",
    "load_generator", "hot_swap", "control_poll", "drift_false_alarms", "experiment_false_positives", "soak",
)  # fmt: skip
LONG = {"soak"}  # half an hour each: these run only where they are named
FAILURES = (RuntimeError, OSError, SubprocessError)  # a server that did not start, broke, or answered wrongly


def main(arguments: list[str] | None = None) -> int:
    """0 whatever the numbers are; 1 if a benchmark could not be finished; 2 if wrk is missing."""
    given = _parser().parse_args(arguments)
    sentence = missing_wrk()
    if sentence:
        print(sentence, file=sys.stderr)
        return 2
    plan = QUICK if given.quick else FULL
    folder = given.out or (None if given.quick else Path(__file__).parent)
    failed = False
    for name in given.names or [name for name in NAMES if name not in LONG]:
        try:
            entry = measure(name, plan)
        except FAILURES as error:
            print(f"{name} could not be finished: {error}", file=sys.stderr)
            failed = True
            continue
        if folder is not None:
            write(folder, {name: entry})
    return int(failed)


def measure(name: str, plan: Plan) -> Entry:
    """Runs one benchmark and prints what it found."""
    module = import_module(f"benchmarks.{name}")
    run: Benchmark = module.run
    machine, began = this_machine(), perf_counter()
    print(f"\n{name} …", flush=True)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        report = run(plan, Path(folder))
    show(report)
    command = shlex.join(["python", "-m", "benchmarks", name, *(["--quick"] if plan.quick else [])])
    return Entry(
        command=command,
        seconds=perf_counter() - began,
        about=module.__doc__ or "",
        machine=machine,
        report=report,
    )


def show(report: Report) -> None:
    for table in report.tables:
        print(f"\n{table.title}\n{as_text(table)}")
    for goal in report.goals:
        print(f"{'reached' if goal.reached else 'MISSED '}  {goal.what}: {goal.measured}, goal {goal.goal}")
    sys.stdout.flush()


def write(folder: Path, found: dict[str, Entry]) -> None:
    """Adds `found` to what is kept in `folder`, in the order of NAMES."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {**load_entries(folder / "results.json"), **found}
    entries = {name: kept[name] for name in NAMES if name in kept}
    save_entries(folder / "results.json", entries)
    (folder / "RESULTS.md").write_text(render(entries), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"of {', '.join(NAMES)}; all")
    parser.add_argument("--quick", action="store_true", help="a smoke test of seconds; writes nothing without --out")
    parser.add_argument("--out", type=Path, help="where RESULTS.md and results.json go; by default beside this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
