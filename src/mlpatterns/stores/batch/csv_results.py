"""A CSV file as the sink of a batch run: `out.csv`.

During a run, its results are in `out.csv.part`, and its state and the valid size of the results are in
`out.csv.run.json`. At the end, the results are renamed to `out.csv`. Rows that failed are in `out.errors.csv`. Data
covered by the checkpoint survives a kill of the process and a crash of the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from mlpatterns.durable import sync_folder
from mlpatterns.errors import Conflict
from mlpatterns.stores.batch import BatchRun, Column, Failure, Results, cells
from mlpatterns.stores.batch.error_file import ErrorFile, csv_lines
from mlpatterns.stores.batch.files import GrowingFile, RunCheckpoint, file_place, load_checkpoint, save_checkpoint
from mlpatterns.stores.batch.threaded import ThreadedSink
from mlpatterns.user_errors import SettingsError

__all__ = ["CsvResults", "CsvSink"]


class CsvResults:
    """See BatchSink; its calls block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part, self._state = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.run.json")
        self._errors = ErrorFile(path.with_name(f"{path.stem}.errors.csv"))
        self._file: GrowingFile | None = None

    def load(self) -> BatchRun | None:
        found = load_checkpoint(self._state)
        if found is None:
            return None
        if found.run.status == "finished":
            if self._part.exists() and self._part.stat().st_size == found.sizes["rows"]:
                self._rename()  # the process was killed before it renamed the file
            if not self._path.exists():
                return None  # the result was deleted or moved, so the next run starts from the beginning
        return found.run

    def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        if not anew and not run.revision and self._path.exists():
            raise SettingsError(f"{self._path.name} already exists; delete it, restart the run, or name another")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.close()
        self._file = GrowingFile(self._part)  # locks the file against other runs
        try:
            return self._begin(self._file, run, key, columns, anew=anew)
        except BaseException:
            self.close()
            raise

    def _begin(
        self, file: GrowingFile, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool
    ) -> BatchRun:
        found = load_checkpoint(self._state)
        if run.revision and run.revision != (found.run.revision if found else 0):
            raise Conflict(f"another batch run has written to {self._path.name}; this one stops")
        fresh = found is None or anew or not run.revision or found.run.status == "finished"
        sizes = {"rows": 0, "errors": 0} if fresh or found is None else found.sizes
        file.cut(sizes["rows"])
        self._errors.open(key, sizes["errors"])
        if fresh:
            file.append(csv_lines([[key.name, *(column.name for column in columns)]]))
        return self._save(run)

    def write(self, run: BatchRun, results: Results) -> BatchRun:
        assert self._file is not None
        self._file.append(csv_lines(zip(results.keys, *map(cells, results.columns.values()), strict=True)))
        self._errors.append(results.failures)
        return self._save(run)

    def finish(self, run: BatchRun) -> BatchRun:
        finished = self._save(replace(run, status="finished"))
        self.close()
        self._rename()
        return finished

    def failures(self, limit: int) -> list[Failure]:
        found = load_checkpoint(self._state)
        return [] if found is None else self._errors.read(limit, found.sizes["errors"])

    def close(self) -> None:
        file, self._file = self._file, None
        self._errors.close()
        if file is not None:
            file.close()

    def _save(self, run: BatchRun) -> BatchRun:
        assert self._file is not None
        saved = replace(run, revision=run.revision + 1)
        save_checkpoint(self._state, RunCheckpoint(saved, {"rows": self._file.size, "errors": self._errors.size}))
        return saved

    def _rename(self) -> None:
        with suppress(FileNotFoundError):  # another process has renamed the file
            self._part.replace(self._path)
            sync_folder(self._path.parent)


class CsvSink(ThreadedSink):
    @classmethod
    async def open(cls, url: str) -> Self:
        path, _ = file_place(url)
        return cls(CsvResults(path))
