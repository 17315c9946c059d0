"""A batch run beside a loop written by hand.

*Claim.* A million rows are predicted at least as fast as by a loop that an engineer writes (read, ONNX Runtime,
write), from and to SQLite, PostgreSQL and Parquet, in at most 300 MB.

*Method.* The iris classifier over rows of four numbers. Each way runs in a process of its own, in turn with the other,
over the same source; the median of the rounds. Time is from the first read to the last write, without the start of
Python and of the model; memory is the most that was ever resident (`VmHWM`), which the PSS is never above. The loops
are in `batch_child.py`: 1,024 rows at once, a cursor to read, one transaction, COPY or file to write.

*Why it is fair.* ONNX Runtime has one thread in both. The loop takes no note of how far it is: what is killed begins
again. Ours writes results and checkpoint together and waits for the disk with each page, checks every row against what
the model takes, and finds its batch size while it runs. The loop's own size is near the best for this model.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.batch_child import FIELDS
from benchmarks.models import iris
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.servers import clean_environment
from mlpatterns.metadata import Array

__all__ = ["run"]

ROWS, QUICK_ROWS, ROUNDS = 1_000_000, 20_000, 3
MOST_BYTES = 300 * 10**6
POSTGRES = os.environ.get("MLPATTERNS_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
SCHEMA = "mlpatterns_bench_batch"
TYPES = ", ".join(f"{field} double precision" for field in FIELDS)

Places = tuple[str, str, str, str]  # source and sink of the loop, then ours


def run(plan: Plan, folder: Path) -> Report:
    """Each kind of table and file, both ways in turn."""
    rows = flowers(QUICK_ROWS if plan.quick else ROWS)
    model = iris(folder)
    goals, lines, raw, notes, losses = [], [], {}, [], []
    for kind, made in list(KINDS.items())[: 1 if plan.quick else None]:
        try:
            with made(rows, folder) as places:
                found = [measured(kind, places, model, folder, len(rows)) for _ in range(1 if plan.quick else ROUNDS)]
        except (ImportError, ConnectionError) as error:
            notes.append(f"{kind} was left out: {error}")
            continue
        raw[kind] = found
        loop, ours = (median(len(rows) / each[way]["seconds"] for each in found) for way in ("loop", "ours"))
        peak = max(each["ours"]["peak"] for each in found)
        lines.append((kind, f"{loop:,.0f}", f"{ours:,.0f}", f"{ours / loop:.2f}", f"{peak / 1e6:.0f} MB"))
        if ours < loop:
            losses.append(f"Batch runs from and to {kind}: {ours / loop:.2f} x the loop written by hand.")
        if kind != "csv":
            reached = ours >= loop
            goals.append(Goal(f"{kind}, rows/s", ">= 1.0 x the loop", f"{ours / loop:.2f} x", reached))
        goals.append(Goal(f"{kind}, memory", "<= 300 MB", f"{peak / 1e6:.0f} MB", peak <= MOST_BYTES))
    columns = ("from and to", "rows/s by hand", "rows/s by us", "ratio", "most memory")
    title = f"{len(rows):,} rows, {'one round' if plan.quick else f'median of {ROUNDS} rounds'}"
    return Report(
        goals=tuple(goals),
        tables=(Table(title, columns, tuple(lines)),),
        losses=tuple(losses),
        notes=tuple(notes),
        raw=raw,
    )


def measured(kind: str, places: Places, model: Path, folder: Path, rows: int) -> dict[str, dict[str, float]]:
    """Both ways, once each."""
    found = {}
    for way, (source, sink) in (("loop", places[:2]), ("ours", places[2:])):
        clear(folder, kind)
        command = [sys.executable, "-m", "benchmarks.batch_child", way, kind, source, sink, str(model)]
        done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{way} over {kind} broke: {done.stderr[-500:]}")
        found[way] = json.loads(done.stdout)
        if found[way]["rows"] != rows:
            raise RuntimeError(f"{way} over {kind} gave {found[way]['rows']} of {rows} rows")
    return found


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    return {**clean_environment(), "MLPATTERNS_HOME": str(folder / "home"), "PYTHONPATH": path}


def clear(folder: Path, kind: str) -> None:
    """What an earlier turn wrote goes."""
    for path in folder.glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kind == "postgresql":
        tables = ("loop", "ours", "ours_errors", "mlpatterns_batch_runs")
        execute(*(f"DROP TABLE IF EXISTS {SCHEMA}.{table}" for table in tables))


def flowers(count: int) -> Array:
    return np.round(np.random.default_rng(0).uniform((4.3, 2.0, 1.0, 0.1), (7.9, 4.4, 6.9, 2.5), (count, 4)), 1)


# ---- sources -----------------------------------------------------------------------------------------------------


@contextmanager
def in_sqlite(rows: Array, folder: Path) -> Iterator[Places]:
    file = folder / "in.db"
    connection = sqlite3.connect(file)
    connection.execute(f"CREATE TABLE items (id INTEGER PRIMARY KEY, {TYPES})")
    connection.executemany(
        "INSERT INTO items VALUES (?, ?, ?, ?, ?)", ((n, *row) for n, row in enumerate(rows.tolist(), 1))
    )
    connection.commit()
    connection.close()
    yield (
        str(file),
        str(folder / "out.db"),
        f"sqlite:///{file}?table=items",
        f"sqlite:///{folder}/out_.db?table=results",
    )
    file.unlink()


@contextmanager
def in_postgresql(rows: Array, folder: Path) -> Iterator[Places]:
    joint = "&" if "?" in POSTGRES else "?"
    place = f"{POSTGRES}{joint}options=-csearch_path%3D{SCHEMA}"
    execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", f"CREATE SCHEMA {SCHEMA}")
    try:
        execute(f"CREATE TABLE {SCHEMA}.items (id bigint PRIMARY KEY, {TYPES})", copy=(f"{SCHEMA}.items", rows))
        yield place, "loop", f"{place}&table=items", f"{place}&table=ours"
    finally:
        execute(f"DROP SCHEMA {SCHEMA} CASCADE")


@contextmanager
def in_parquet(rows: Array, folder: Path) -> Iterator[Places]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "in.parquet"
    columns = {"id": np.arange(1, len(rows) + 1), **{field: rows[:, n] for n, field in enumerate(FIELDS)}}
    pq.write_table(pa.table(columns), file)
    yield str(file), str(folder / "out.parquet"), str(file), str(folder / "out_.parquet")


@contextmanager
def in_csv(rows: Array, folder: Path) -> Iterator[Places]:
    file = folder / "in.csv"
    with file.open("w") as out:
        out.write(f"id,{','.join(FIELDS)}\n")
        out.writelines(f"{n},{','.join(map(str, row))}\n" for n, row in enumerate(rows.tolist(), 1))
    yield str(file), str(folder / "out.csv"), str(file), str(folder / "out_.csv")


KINDS: dict[str, Callable[[Array, Path], Any]] = {
    "sqlite": in_sqlite, "postgresql": in_postgresql, "parquet": in_parquet, "csv": in_csv,
}  # fmt: skip


def execute(*statements: str, copy: tuple[str, Array] | None = None) -> None:
    import psycopg

    try:
        with psycopg.connect(POSTGRES, connect_timeout=3) as connection:
            for statement in statements:
                connection.execute(statement)
            if copy is not None:
                with connection.cursor().copy(f"COPY {copy[0]} FROM STDIN") as rows:
                    for number, row in enumerate(copy[1].tolist(), 1):
                        rows.write_row((number, *row))
    except psycopg.Error as error:
        raise ConnectionError(f"PostgreSQL does not answer: {error}") from error
