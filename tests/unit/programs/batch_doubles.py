"""A batch source and sink in memory, for tests of what is between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from mlpatterns.errors import Conflict
from mlpatterns.stores.batch import BatchRun, Column, Failure, Kind, Page, Results, Shape, cells
from mlpatterns.stores.batch.where import Comparison, matches

__all__ = ["ListSink", "ListSource"]


class ListSource:
    """Rows of the columns a and b, with the keys 1, 2, …"""

    def __init__(self, rows: Sequence[tuple[Any, Any]], digest: str = "") -> None:
        self.rows, self.digest = list(rows), digest
        self.reads: list[tuple[Any, int]] = []

    async def shape(self) -> Shape:
        kind: Kind = "float"
        return Shape((Column("id", "int"), Column("a", kind), Column("b", kind)), Column("id", "int"), self.digest)

    async def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        return len(self._chosen(after, where))

    async def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None:
        self.reads.append((after, limit))
        chosen = self._chosen(after, where)[:limit]
        if not chosen:
            return None
        keys = [key for key, _ in chosen]
        return Page(keys, {name: [row[name] for _, row in chosen] for name in columns}, keys[-1])

    async def close(self) -> None: ...

    def _chosen(self, after: Any, where: Sequence[Comparison]) -> list[tuple[int, dict[str, Any]]]:
        named = ((key, {"a": a, "b": b, "id": key}) for key, (a, b) in enumerate(self.rows, 1))
        return [(key, row) for key, row in named if key > (after or 0) and matches(where, row)]


class ListSink:
    """Keeps what is written; after `fails_after` writes it raises `error`."""

    page_rows = 100

    def __init__(self, fails_after: int | None = None, error: Exception | None = None) -> None:
        self.run: BatchRun | None = None
        self.rows: list[tuple[Any, ...]] = []
        self.failed: list[Failure] = []
        self.columns: list[str] = []
        self.pages: list[int] = []
        self.fails_after, self.error = fails_after, error

    async def load(self) -> BatchRun | None:
        return self.run

    async def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        if anew:
            self.rows, self.failed = [], []
        self.columns = [column.name for column in columns]
        return self._kept(run)

    async def write(self, run: BatchRun, results: Results) -> BatchRun:
        if self.error is not None and len(self.pages) == self.fails_after:
            raise self.error
        kept = self._kept(run)
        self.pages.append(len(results.keys))
        self.rows += zip(results.keys, *map(cells, results.columns.values()), strict=True)
        self.failed += results.failures
        return kept

    async def finish(self, run: BatchRun) -> BatchRun:
        return self._kept(replace(run, status="finished"))

    async def failures(self, limit: int) -> list[Failure]:
        return self.failed[:limit]

    async def close(self) -> None: ...

    def _kept(self, run: BatchRun) -> BatchRun:
        if run.revision != (self.run.revision if self.run else 0):
            raise Conflict("another")
        self.run = replace(run, revision=run.revision + 1)
        return self.run
