"""Wraps blocking sources, sinks and items in async ones. Each has its own thread."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from mlpatterns.stores.batch import BatchRun, Column, Failure, Page, Results, Shape
from mlpatterns.stores.batch.where import Comparison
from mlpatterns.stores.sqlite_file import run_in

__all__ = [
    "BlockingItems", "BlockingSink", "BlockingSource", "ThreadedItems", "ThreadedSink", "ThreadedSource",
]  # fmt: skip


class BlockingSource(Protocol):
    """A BatchSource whose calls block. Only one call runs at a time."""

    def shape(self) -> Shape: ...
    def count(self, after: Any, where: Sequence[Comparison]) -> int | None: ...
    def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None: ...
    def close(self) -> None: ...


class BlockingSink(Protocol):
    """A BatchSink whose calls block. Only one call runs at a time."""

    def load(self) -> BatchRun | None: ...
    def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun: ...
    def write(self, run: BatchRun, results: Results) -> BatchRun: ...
    def finish(self, run: BatchRun) -> BatchRun: ...
    def failures(self, limit: int) -> list[Failure]: ...
    def close(self) -> None: ...


class BlockingItems(Protocol):
    """A BatchItems whose calls block. Only one call runs at a time."""

    def fill(self, rows: Sequence[Any]) -> bool: ...
    def add(self, rows: Sequence[Any]) -> None: ...
    def close(self) -> None: ...


class ThreadedSource:
    """See BatchSource."""

    def __init__(self, blocking: BlockingSource) -> None:
        self._blocking, self._thread = blocking, ThreadPoolExecutor(1, thread_name_prefix="batch source")

    async def shape(self) -> Shape:
        return await run_in(self._thread, self._blocking.shape)

    async def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        return await run_in(self._thread, lambda: self._blocking.count(after, where))

    async def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None:
        return await run_in(self._thread, lambda: self._blocking.read(columns, after, limit, where))

    async def close(self) -> None:
        await run_in(self._thread, self._blocking.close)
        self._thread.shutdown(wait=False)


class ThreadedSink:
    """See BatchSink."""

    page_rows = 32_768

    def __init__(self, blocking: BlockingSink) -> None:
        self._blocking, self._thread = blocking, ThreadPoolExecutor(1, thread_name_prefix="batch sink")

    async def load(self) -> BatchRun | None:
        return await run_in(self._thread, self._blocking.load)

    async def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        return await run_in(self._thread, lambda: self._blocking.begin(run, key, columns, anew=anew))

    async def write(self, run: BatchRun, results: Results) -> BatchRun:
        return await run_in(self._thread, lambda: self._blocking.write(run, results))

    async def finish(self, run: BatchRun) -> BatchRun:
        return await run_in(self._thread, lambda: self._blocking.finish(run))

    async def failures(self, limit: int) -> list[Failure]:
        return await run_in(self._thread, lambda: self._blocking.failures(limit))

    async def close(self) -> None:
        await run_in(self._thread, self._blocking.close)
        self._thread.shutdown(wait=False)


class ThreadedItems:
    """See BatchItems."""

    def __init__(self, blocking: BlockingItems) -> None:
        self._blocking, self._thread = blocking, ThreadPoolExecutor(1, thread_name_prefix="batch items")

    async def fill(self, rows: Sequence[Any]) -> bool:
        return await run_in(self._thread, lambda: self._blocking.fill(rows))

    async def add(self, rows: Sequence[Any]) -> None:
        await run_in(self._thread, lambda: self._blocking.add(rows))

    async def close(self) -> None:
        await run_in(self._thread, self._blocking.close)
        self._thread.shutdown(wait=False)
