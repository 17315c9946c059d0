"""A folder of Parquet files as the sink of a batch run: `out.parquet`.

Results are complete part files, `part-00000.parquet` and so on. `_run.json` lists the valid parts and the state of the
run. A part that is not listed is written again. Rows that failed are in `_errors.csv`; Parquet readers ignore all names
that begin with an underscore. Data listed in `_run.json` survives a kill.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace

from mlpatterns.durable import sync_folder
from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.stores.batch import BatchRun, Column, Failure, Results
from mlpatterns.stores.batch.error_file import ErrorFile
from mlpatterns.stores.batch.files import RunCheckpoint, file_place, load_checkpoint, save_checkpoint
from mlpatterns.stores.batch.threaded import ThreadedSink
from mlpatterns.user_errors import MissingExtra, SettingsError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtra("Parquet", "parquet") from error

from mlpatterns.stores.batch.arrow import array_of

__all__ = ["ParquetSink"]


class ParquetResults:
    """See BatchSink; its calls block."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._state = folder, folder / "_run.json"
        self._errors = ErrorFile(folder / "_errors.csv")
        self._lock: int | None = None
        self._parts: list[dict[str, Any]] = []

    def load(self) -> BatchRun | None:
        found = load_checkpoint(self._state)
        return None if found is None else found.run

    def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._acquire()
        try:
            return self._begin(run, key, columns, anew=anew)
        except BaseException:
            self.close()
            raise

    def _begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        found = load_checkpoint(self._state)
        if not anew and found is None and any(self._folder.glob("*.parquet")):
            raise SettingsError(f"{self._folder.name} has files that no batch run wrote; name another folder")
        if run.revision != (found.run.revision if found else 0):
            raise Conflict(f"another batch run has written to {self._folder.name}; this one stops")
        fresh = found is None or anew or found.run.status == "finished"
        self._key, self._columns = key, list(columns)
        self._parts = [] if fresh or found is None else list(found.parts)
        counted = {part["name"] for part in self._parts}
        begun = self._save(run, errors=0 if fresh or found is None else found.sizes["errors"])
        for file in self._folder.glob("part-*.parquet"):
            if file.name not in counted:
                file.unlink()
        self._errors.open(key, 0 if fresh or found is None else found.sizes["errors"])
        return begun

    def write(self, run: BatchRun, results: Results) -> BatchRun:
        if results.keys or not self._parts:
            self._write_part(results)
        self._errors.append(results.failures)
        return self._save(run, errors=self._errors.size)

    def finish(self, run: BatchRun) -> BatchRun:
        if not self._parts:  # so that readers find a file with the columns, though it has no rows
            self._write_part(Results([], {column.name: [] for column in self._columns}))
        finished = self._save(replace(run, status="finished"), errors=self._errors.size)
        self.close()
        return finished

    def failures(self, limit: int) -> list[Failure]:
        found = load_checkpoint(self._state)
        return [] if found is None else self._errors.read(limit, found.sizes["errors"])

    def close(self) -> None:
        self._errors.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _acquire(self) -> None:
        """Locks the folder until `close`, so that only one run writes to it."""
        if self._lock is None:
            lock = os.open(self._folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise Conflict(f"another batch run writes to {self._folder.name}; this one stops") from None
            self._lock = lock

    def _write_part(self, results: Results) -> None:
        name = f"part-{len(self._parts):05d}.parquet"
        keys = array_of(results.keys, self._key.kind)
        arrays = [keys, *(array_of(results.columns[column.name], column.kind) for column in self._columns)]
        table = pa.Table.from_arrays(arrays, [self._key.name, *(column.name for column in self._columns)])
        with (self._folder / name).open("wb") as file:  # valid once `_run.json` lists it
            pq.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._folder)
        self._parts.append({"name": name, "rows": len(results.keys)})

    def _save(self, run: BatchRun, errors: int) -> BatchRun:
        if self._lock is None:
            raise Unavailable("the run has not begun")
        saved = replace(run, revision=run.revision + 1)
        save_checkpoint(self._state, RunCheckpoint(saved, {"errors": errors}, self._parts))
        return saved


class ParquetSink(ThreadedSink):
    page_rows = 65_536  # large, because each page becomes a file

    @classmethod
    async def open(cls, url: str) -> Self:
        folder, _ = file_place(url)
        return cls(ParquetResults(folder))
