"""Parquet files as sources of batch runs: `in.parquet`, a file or a folder of files. Rows are decoded in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np

from mlpatterns.stores.batch import Column, Kind, Page, Shape, cells
from mlpatterns.stores.batch.files import file_digest, file_place
from mlpatterns.stores.batch.threaded import ThreadedSource
from mlpatterns.stores.batch.where import Comparison
from mlpatterns.user_errors import MissingExtra, SettingsError, UnknownName

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtra("Parquet", "parquet") from error

from mlpatterns.stores.batch.arrow import cells_of, kind_of

__all__ = ["ParquetSource"]

ROW, ID = "row", "id"
ROWS = 16_384  # rows decoded at once
_TESTS = {"=": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}


class ParquetRows:
    """See BatchSource; its calls block. A position is the number of rows before it."""

    def __init__(self, path: Path, key: str | None) -> None:
        self._path, self._asked_key = path, key
        self._reading: Iterator[tuple[int, pa.RecordBatch]] | None = None
        self._asked: tuple[Any, ...] = ()
        self._left: pa.RecordBatch | None = None
        self._known: Mapping[str, Kind] | None = None
        self._at = 0

    def shape(self) -> Shape:
        files = self._files()
        schema = _opened(files[0]).schema_arrow
        known = self._known = {name: kind_of(schema.field(name).type) for name in schema.names}
        key = self._asked_key or (ID if ID in known else ROW)
        if self._asked_key and key not in known:
            raise UnknownName("column", key, known)
        columns = tuple(Column(name, kind) for name, kind in known.items())
        digest = sha256("".join(map(file_digest, files)).encode()).hexdigest()
        self._key = key if key in known else None
        return Shape(columns, Column(key, known.get(key, "int")), digest)

    def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        if where:
            return None
        return sum(int(_opened(file).metadata.num_rows) for file in self._files()) - int(after or 0)

    def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None:
        self._check(columns, where)
        asked = (tuple(columns), tuple(where))
        if self._reading is None or asked != self._asked or (after or 0) != self._at:
            self._reading, self._asked, self._left = self._batches(columns, where, after or 0), asked, None
            self._at = after or 0
        found: list[pa.RecordBatch] = []
        have = 0
        while have < limit:
            batch = self._next()
            if batch is None:
                break
            taken = min(len(batch), limit - have)
            self._left = batch.slice(taken) if taken < len(batch) else None
            found.append(batch.slice(0, taken))
            have += taken
        if not have:
            return None
        table = pa.Table.from_batches(found).combine_chunks()
        numbers = table.column("\0row").to_numpy()
        self._at = int(numbers[-1])
        keys = numbers.tolist() if self._key is None else cells(cells_of(table.column(self._key)))
        return Page(keys, {name: cells_of(table.column(name)) for name in columns}, self._at)

    def close(self) -> None:
        self._reading = None

    def _next(self) -> pa.RecordBatch | None:
        if self._left is not None:
            return self._left
        assert self._reading is not None
        return next((batch for _, batch in self._reading), None)

    def _check(self, columns: Sequence[str], where: Sequence[Comparison]) -> None:
        if self._known is None:
            self.shape()
        assert self._known is not None
        for name in [*columns, *(each.column for each in where)]:
            if name not in self._known:
                raise UnknownName("column", name, self._known)
        for each in where:
            kind = self._known[each.column]
            fits = kind in ("text", "time") if isinstance(each.value, str) else kind in ("int", "float")
            if each.value is not None and not fits:
                raise SettingsError(f"the column {each.column!r} holds {kind}: {each} cannot be compared")

    def _batches(
        self, columns: Sequence[str], where: Sequence[Comparison], after: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of the rows after the position `after`, with row numbers, which count from 1."""
        own = [self._key] if self._key else []
        names = list(dict.fromkeys([*own, *columns, *(each.column for each in where)]))
        row = 0
        for file in self._files():
            opened = _opened(file)
            for group in range(opened.metadata.num_row_groups):
                size = opened.metadata.row_group(group).num_rows
                if row + size <= after:
                    row += size
                    continue
                for batch in opened.iter_batches(ROWS, row_groups=[group], columns=names):
                    first, row = row, row + len(batch)
                    if row <= after:
                        continue
                    numbers = pa.array(np.arange(first + 1, row + 1))
                    numbered = pa.RecordBatch.from_arrays([*batch.columns, numbers], [*batch.schema.names, "\0row"])
                    chosen = _chosen(numbered.slice(max(0, after - first)), where)
                    if len(chosen):
                        yield row, chosen

    def _files(self) -> list[Path]:
        if not self._path.exists():
            raise UnknownName("file", self._path.name)
        if not self._path.is_dir():
            return [self._path]
        found = sorted(file for file in self._path.glob("*.parquet") if not file.name.startswith(("_", ".")))
        if not found:
            raise UnknownName("file", f"{self._path.name}/*.parquet")
        return found


class ParquetSource(ThreadedSource):
    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(ParquetRows(*file_place(url)))


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise SettingsError(f"{file.name} is not a Parquet file that can be read") from error


def _chosen(batch: pa.RecordBatch, where: Sequence[Comparison]) -> pa.RecordBatch:
    for each in where:
        cells = batch.column(each.column)
        if each.value is None:
            mask = pc.is_null(cells) if each.op == "=" else pc.is_valid(cells)
        else:
            mask = pc.call_function(_TESTS[each.op], [_comparable(cells, each.value), each.value])
        batch = batch.filter(mask)  # drops rows whose condition is null
    return batch


def _comparable(cells: pa.Array, value: Any) -> pa.Array:
    if isinstance(value, str):
        return cells.cast(pa.string())
    return cells.cast(pa.float64()) if isinstance(value, float) else cells
