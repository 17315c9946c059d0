"""CSV files as sources of batch runs: `in.csv`, in UTF-8, with a line of column names."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self

from mlpatterns.stores.batch import Column, Page, Shape
from mlpatterns.stores.batch.files import file_digest, file_place
from mlpatterns.stores.batch.threaded import ThreadedSource
from mlpatterns.stores.batch.where import Comparison, matches
from mlpatterns.user_errors import SettingsError, UnknownName

__all__ = ["CsvRows", "CsvSource"]

CHUNK = 2**20
ROW, ID = "row", "id"
csv.field_size_limit(16 * 2**20)  # characters of one cell, such as an image


class Unreadable(list[str]):
    """A row that cannot be read. It has no cells; `why` is the reason."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class CsvRows:
    """See BatchSource; its calls block. A position is the number of rows before it and its byte offset."""

    def __init__(self, path: Path, key: str | None) -> None:
        self._path, self._asked_key = path, key
        self._file: BinaryIO | None = None
        self._at: list[int] = []
        self._byte = 0
        self._suspect = False  # whether the last rows may include an invalid one

    def shape(self) -> Shape:
        digest = file_digest(self._path)
        self._rewind(None)
        key = Column(ROW, "int") if self._key is None else Column(self._names[self._key], "text")
        return Shape(tuple(Column(name, "text") for name in self._names), key, digest)

    def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        """The number of lines; None if there are conditions. It is the number of rows if no cell has a line break."""
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
        rows: list[tuple[int, list[str]]] = []
        wrong: dict[int, str] = {}
        while len(rows) < limit and (some := self._next_rows(limit - len(rows))):
            if where or self._suspect or any(len(row) != len(self._names) for _, row in some):
                self._sift(some, where, rows, wrong)
            else:
                rows += some
        if not rows:
            return None
        keys = [number if self._key is None else row[self._key] for number, row in rows]
        by_name = dict(zip(self._names, zip(*(row for _, row in rows), strict=True), strict=True))
        return Page(keys, {name: by_name[name] for name in columns}, list(self._at), wrong)

    def _next_rows(self, limit: int) -> list[tuple[int, list[str]]]:
        """The next rows, at most `limit`, each with its number. Empty at the end."""
        while True:
            before = self._at
            self._suspect = False
            try:
                found = list(islice(self._reader, limit))
            except csv.Error:
                self._go_to(before)
                found = list(islice(self._rows(), limit))
                self._suspect = True
            if not found:
                return []
            first = before[0] + 1
            rows = list(enumerate((row for row in found if row or isinstance(row, Unreadable)), first))
            self._at = [before[0] + len(rows), self._byte]
            if rows:
                return rows

    def _sift(
        self,
        some: Sequence[tuple[int, list[str]]],
        where: Sequence[Comparison],
        rows: list[tuple[int, list[str]]],
        wrong: dict[int, str],
    ) -> None:
        for number, row in some:
            sentence = self._why_invalid(row)
            if sentence:
                wrong[len(rows)] = sentence
                cells = [*row, *[""] * len(self._names)][: len(self._names)]
                if self._key is not None and (self._key >= len(row) or "\0" in cells[self._key]):
                    cells[self._key] = f"row {number}"  # its key cannot be read
                rows.append((number, cells))
            elif not where or matches(where, dict(zip(self._names, row, strict=True))):
                rows.append((number, row))

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _rewind(self, after: Any) -> None:
        """Reads the header, then goes to the position `after`."""
        self.close()
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise UnknownName("file", self._path.name, hint=f"it cannot be read: {error.strerror}") from error
        self._at, self._byte = [0, 0], 0
        self._reader = csv.reader(self._lines(self._file), strict=True)
        try:
            self._names = [name.strip().removeprefix("\ufeff") for name in next(self._reader, [])]
        except csv.Error as error:
            raise SettingsError(f"{self._path.name} is not a CSV file") from error
        if not all(map(_is_text, self._names)):
            raise SettingsError(f"{self._path.name} is not UTF-8")
        if not self._names or len(set(self._names)) < len(self._names) or "" in self._names:
            raise SettingsError(f"{self._path.name} must begin with a line of column names, each once")
        key = self._asked_key or (ID if ID in self._names else ROW)
        if self._asked_key and key not in self._names:
            raise UnknownName("column", key, self._names)
        self._key = self._names.index(key) if key in self._names else None
        self._at = [0, self._byte]
        if after is not None:
            self._go_to(after)

    def _go_to(self, place: Sequence[int]) -> None:
        file = self._open()
        file.seek(place[1])
        self._at, self._byte = list(place), place[1]
        self._reader = csv.reader(self._lines(file), strict=True)

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        """The lines of the file. The CSV reader reads only the lines that it needs for the current row."""
        for line in iter(file.readline, b""):
            self._byte += len(line)
            self._suspect = self._suspect or b"\0" in line
            try:
                text = line.decode()
            except UnicodeDecodeError:
                text, self._suspect = line.decode(errors="surrogateescape"), True
            yield text

    def _rows(self) -> Iterator[list[str]]:
        """Rows one by one. A row that cannot be read becomes an Unreadable."""
        while True:
            try:
                yield next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._reader = csv.reader(self._lines(self._open()), strict=True)  # the next line begins a new row
                yield Unreadable(str(error))

    def _open(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _why_invalid(self, row: Sequence[str]) -> str:
        """Why a row is not valid; empty if it is valid."""
        if isinstance(row, Unreadable):
            return f"the row cannot be read: {row.why}"
        if len(row) == len(self._names) and "\0" not in "".join(row):
            # `_lines` has decoded bytes that are not UTF-8 to lone surrogates, which UTF-8 cannot encode.
            return "" if all(cell.isascii() or _is_text(cell) for cell in row) else "the row is not UTF-8"
        if len(row) == len(self._names):
            return "the row has a zero byte, which text does not have"
        return f"the row has {len(row)} cells, and there are {len(self._names)} columns"


class CsvSource(ThreadedSource):
    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(CsvRows(*file_place(url)))


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True
