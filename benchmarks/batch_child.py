"""Predicts a complete table or file in one way, in a separate process: `batch_child WAY KIND SOURCE SINK MODEL`.

The hand-written loops are what an engineer writes in an afternoon: read some rows, run ONNX Runtime, write the results.
They do not record their progress, so a killed loop starts again from the beginning. They commit one transaction at the
end.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

__all__ = ["FIELDS", "LOOPS", "main"]

FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
COLUMNS = ", ".join(FIELDS)
RESULTS = ("label", "setosa", "versicolor", "virginica")
ROWS = 1024  # at once

Loop = Callable[[Any, str, str], int]


def sqlite(session: Any, source: str, sink: str) -> int:
    """The standard library's driver, a file to read and another to write."""
    reading, writing = sqlite3.connect(source), sqlite3.connect(sink)
    writing.execute("CREATE TABLE results (id INTEGER PRIMARY KEY, label INTEGER, a REAL, b REAL, c REAL)")
    cursor, count = reading.execute(f"SELECT id, {COLUMNS} FROM items ORDER BY id"), 0
    while rows := cursor.fetchmany(ROWS):
        labels, scores = session.run(None, {"input": np.array([row[1:] for row in rows], np.float32)})
        made = [
            (row[0], label, *score) for row, label, score in zip(rows, labels.tolist(), scores.tolist(), strict=True)
        ]
        writing.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?)", made)
        count += len(rows)
    writing.commit()
    return count


def postgresql(session: Any, source: str, sink: str) -> int:
    """psycopg: a cursor on the server to read, COPY to write."""
    import psycopg

    with psycopg.connect(source) as reading, psycopg.connect(source) as writing:
        writing.execute(f"CREATE TABLE {sink} (id bigint PRIMARY KEY, label bigint, a float8, b float8, c float8)")
        count = 0
        with reading.cursor("rows") as cursor, writing.cursor() as out:
            cursor.execute(f"SELECT id, {COLUMNS} FROM items ORDER BY id")
            with out.copy(f"COPY {sink} FROM STDIN") as copy:
                while rows := cursor.fetchmany(ROWS):
                    labels, scores = session.run(None, {"input": np.array([row[1:] for row in rows], np.float32)})
                    for row, label, score in zip(rows, labels.tolist(), scores.tolist(), strict=True):
                        copy.write_row((row[0], label, *score))
                    count += len(rows)
    return count


def parquet(session: Any, source: str, sink: str) -> int:
    """pyarrow: one file to read, one to write."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, writer = 0, None
    for batch in pq.ParquetFile(source).iter_batches(ROWS):
        columns = [batch.column(name).to_numpy() for name in FIELDS]
        labels, scores = session.run(None, {"input": np.stack(columns, axis=1).astype(np.float32)})
        made = pa.table({"id": batch.column("id"), "label": labels, **{f"p{n}": scores[:, n] for n in range(3)}})
        writer = writer or pq.ParquetWriter(sink, made.schema)
        writer.write_table(made)
        count += len(batch)
    if writer is not None:
        writer.close()
    return count


def csv_files(session: Any, source: str, sink: str) -> int:
    """The standard library's csv."""
    import csv

    count = 0
    with Path(source).open(newline="") as reading, Path(sink).open("w", newline="") as writing:
        rows, out = csv.reader(reading), csv.writer(writing)
        next(rows)
        out.writerow(("id", *RESULTS))
        while some := list(islice(rows, ROWS)):
            labels, scores = session.run(None, {"input": np.array([row[1:] for row in some]).astype(np.float32)})
            out.writerows(
                (row[0], label, *score)
                for row, label, score in zip(some, labels.tolist(), scores.tolist(), strict=True)
            )
            count += len(some)
    return count


LOOPS: dict[str, Loop] = {"sqlite": sqlite, "postgresql": postgresql, "parquet": parquet, "csv": csv_files}


def by_hand(kind: str, source: str, sink: str, model: str) -> dict[str, float]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    began = perf_counter()
    rows = LOOPS[kind](session, source, sink)
    return {"rows": rows, "seconds": perf_counter() - began}


def ours(source: str, sink: str, model: str) -> dict[str, float]:
    from mlpatterns import OnnxModel, Settings, running
    from mlpatterns.programs.batch_plan import BatchPlan
    from mlpatterns.programs.batch_run import run_batch
    from mlpatterns.stores.batch import BatchSink, BatchSource
    from mlpatterns.stores.batch.files import batch_url

    async def run() -> dict[str, float]:
        predictor = OnnxModel(f"file:{model}")
        async with running(predictor, settings=Settings(control="memory://")) as runtime:
            rows: Any = await runtime.store(BatchSource, batch_url(source))
            results: Any = await runtime.store(BatchSink, batch_url(sink))
            began = perf_counter()
            done = await run_batch(predictor, rows, results, BatchPlan(), runtime.clock, lambda progress: None)
            assert done is not None
            return {"rows": done.rows, "seconds": perf_counter() - began}

    return asyncio.run(run())


def peak_bytes() -> int:
    """The most memory that this process ever had resident; its PSS is at most that."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found) * 1024


def main(way: str, kind: str, source: str, sink: str, model: str) -> None:
    found = ours(source, sink, model) if way == "ours" else by_hand(kind, source, sink, model)
    print(json.dumps({**found, "peak": peak_bytes(), "cpu": process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
