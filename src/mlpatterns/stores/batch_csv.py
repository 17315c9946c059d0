"""CSV files as sources and sinks of batch runs: `in.csv`, `out.csv`; UTF-8, with a line of column names.

While a run goes on its results are in `out.csv.part`, and how far they count in `out.csv.run.json`; a whole one is
renamed to `out.csv`. Rows that failed are in `out.errors.csv`. What a checkpoint says survives a kill of the process
and of the machine.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from msgspec.structs import replace

from mlpatterns.durable import sync_folder
from mlpatterns.errors import Conflict, SettingsError, UnknownName
from mlpatterns.stores.batch import BatchRun, Column, Failure, Page, Results, Shape, cells
from mlpatterns.stores.batch_error_file import ErrorFile, csv_lines
from mlpatterns.stores.batch_files import (
    Checkpoint,
    GrowingFile,
    file_digest,
    file_place,
    load_checkpoint,
    save_checkpoint,
)
from mlpatterns.stores.batch_threaded import ThreadedSink, ThreadedSource
from mlpatterns.stores.batch_where import Comparison, matches

__all__ = ["CsvSink", "CsvSource"]

CHUNK = 2**20
ROW, ID = "row", "id"
csv.field_size_limit(16 * 2**20)  # of one cell, such as an image


class CsvRows:
    """See BatchSource; its calls block. A place in the file is the rows before it and its byte."""

    def __init__(self, path: Path, key: str | None) -> None:
        self._path, self._asked_key = path, key
        self._file: BinaryIO | None = None
        self._at: list[int] = []
        self._byte = 0

    def shape(self) -> Shape:
        digest = file_digest(self._path)
        self._rewind(None)
        key = Column(ROW, "int") if self._key is None else Column(self._names[self._key], "text")
        return Shape(tuple(Column(name, "text") for name in self._names), key, digest)

    def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        """The lines, which are the rows unless a cell has several; None where rows are to be chosen."""
        if where:
            return None
        with self._path.open("rb") as file:
            file.seek(after[1] if after else 0)
            lines, last = 0, b"\n"
            while chunk := file.read(CHUNK):
                lines, last = lines + chunk.count(b"\n"), chunk
        return max(0, lines + (not last.endswith(b"\n")) - (not after))

    def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None:
        if self._file is None or after != self._at:
            self._rewind(after)
        for name in [*columns, *(each.column for each in where)]:
            if name not in self._names:
                raise UnknownName("column", name, self._names)
        keys: list[Any] = []
        rows: list[list[str]] = []
        wrong: dict[int, str] = {}
        for row in self._rows():
            sentence = self._wrong(row)
            if sentence:
                wrong[len(keys)] = sentence
                row = [*row, *[""] * len(self._names)][: len(self._names)]
            elif where and not matches(where, dict(zip(self._names, row, strict=True))):
                continue
            keys.append(self._at[0] if self._key is None else row[self._key])
            rows.append(row)
            if len(keys) == limit:
                break
        if not keys:
            return None
        by_name = dict(zip(self._names, zip(*rows, strict=True), strict=True))
        return Page(keys, {name: by_name[name] for name in columns}, list(self._at), wrong)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _rewind(self, after: Any) -> None:
        """Reads the header, then goes to a place."""
        self.close()
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise UnknownName("file", self._path.name, hint=f"it cannot be read: {error.strerror}") from error
        self._at, self._byte = [0, 0], 0
        self._reader = csv.reader(self._lines(self._file), strict=True)
        try:
            self._names = [name.strip().removeprefix("\ufeff") for name in next(self._reader, [])]
        except (csv.Error, UnicodeDecodeError) as error:
            raise SettingsError(f"{self._path.name} is no CSV file in UTF-8") from error
        if not self._names or len(set(self._names)) < len(self._names) or "" in self._names:
            raise SettingsError(f"{self._path.name} must begin with a line of column names, each once")
        key = self._asked_key or (ID if ID in self._names else ROW)
        if self._asked_key and key not in self._names:
            raise UnknownName("column", key, self._names)
        self._key = self._names.index(key) if key in self._names else None
        self._at = [0, self._byte]
        if after is not None:
            self._file.seek(after[1])
            self._at, self._byte = list(after), after[1]

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        """Lines as the reader asks for them: it never asks for more than the row at hand needs."""
        for line in iter(file.readline, b""):
            self._byte += len(line)
            yield line.decode(errors="surrogateescape")

    def _rows(self) -> Iterator[list[str]]:
        while True:
            try:
                row = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                row = [f"\0{error}"]  # what follows is read as a line of its own
                self._reader = csv.reader(self._lines(self._open()), strict=True)
            if row:
                self._at = [self._at[0] + 1, self._byte]
                yield row

    def _open(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _wrong(self, row: Sequence[str]) -> str:
        """Why a row is none, or nothing."""
        if len(row) == len(self._names):
            # A byte that is no UTF-8 became half of a surrogate pair, which has no UTF-8 either.
            return "" if all(cell.isascii() or _is_text(cell) for cell in row) else "the row is not UTF-8"
        if row[0].startswith("\0"):
            return f"the row cannot be read: {row[0][1:]}"
        return f"the row has {len(row)} cells, and there are {len(self._names)} columns"


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
                self._rename()  # it was killed just before
            if not self._path.exists():
                return None  # its result was taken away: the next one begins anew
        return found.run

    def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        if not anew and not run.revision and self._path.exists():
            raise SettingsError(f"{self._path.name} is there already; delete it, restart the run, or name another")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.close()
        self._file = GrowingFile(self._part)  # from now on nobody else writes
        found = load_checkpoint(self._state)
        if run.revision and run.revision != (found.run.revision if found else 0):
            raise Conflict(f"another batch run has written to {self._path.name}; this one stops")
        fresh = found is None or anew or not run.revision or found.run.status == "finished"
        sizes = {"rows": 0, "errors": 0} if fresh or found is None else found.sizes
        self._file.cut(sizes["rows"])
        self._errors.open(key, sizes["errors"])
        if fresh:
            self._file.append(csv_lines([[key.name, *(column.name for column in columns)]]))
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
        save_checkpoint(self._state, Checkpoint(saved, {"rows": self._file.size, "errors": self._errors.size}))
        return saved

    def _rename(self) -> None:
        with suppress(FileNotFoundError):  # another process has done so
            self._part.replace(self._path)
            sync_folder(self._path.parent)


class CsvSource(ThreadedSource):
    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(CsvRows(*file_place(url)))


class CsvSink(ThreadedSink):
    @classmethod
    async def open(cls, url: str) -> Self:
        path, _ = file_place(url)
        return cls(CsvResults(path))


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True
