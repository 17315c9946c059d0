"""The sources and sinks of batch runs: tables and files, selected by URL.

The state of a run is one document, stored with the results. The results of each page and the new state are written
together, so a run that was killed continues where it stopped, and no row is written twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.stores.batch.where import Comparison

__all__ = ["BatchItems", "BatchRun", "BatchSink", "BatchSource", "Cells", "Column", "Failure", "Kind", "Page",
           "Results", "Shape", "cells"]  # fmt: skip

Cells = Sequence[Any] | Array
Kind = Literal["int", "float", "text", "json", "bytes", "time", "other"]


class Column(Struct, frozen=True):
    """A column of a table or file, and the kind of its cells."""

    name: str
    kind: Kind


class Shape(Struct, frozen=True):
    """The columns of a source and its key.

    Attributes:
        key: the column that identifies and orders the rows; for a file without one, ``row``, which counts from 1.
        digest: the digest of a file, to detect changes; empty for a table, which may grow.
    """

    columns: tuple[Column, ...]
    key: Column
    digest: str = ""


class Page(Struct, frozen=True):
    """Rows in the order of their keys.

    Attributes:
        columns: the cells by column name; each column has as many cells as there are keys.
        after: the position at which the next page begins, in values that JSON can express.
        wrong: the reason for each row that cannot be read, by its index in the page.
    """

    keys: Sequence[Any]
    columns: Mapping[str, Cells]
    after: Any
    wrong: Mapping[int, str] = MappingProxyType({})


class Failure(Struct, frozen=True):
    """A row whose prediction failed, and the reason."""

    key: Any
    code: str
    error: str


class Results(Struct, frozen=True):
    """The results of a page: keys, the result cells by column, and the rows that failed."""

    keys: Sequence[Any]
    columns: Mapping[str, Cells]
    failures: Sequence[Failure] = ()


class BatchRun(Struct, frozen=True):
    """The state of one run.

    Attributes:
        identity: the identity of the model.
        digest: the digest of the source (`Shape.digest`).
        after: the position in the source up to which rows were processed.
        rows, failed: how many rows were predicted, and how many failed.
        began, at: when it began, and when this state was written; in seconds since 1970.
        page_rows: rows per page. It is stored so that a resumed run reads the same pages as an uninterrupted run.
        revision: increases with each write. If two processes run at once, the later write is refused.
    """

    run_id: str
    identity: str
    model: str
    digest: str = ""
    where: str = ""
    status: Literal["running", "finished"] = "running"
    after: Any = None
    rows: int = 0
    failed: int = 0
    began: float = 0.0
    at: float = 0.0
    page_rows: int = 0
    revision: int = 0


def cells(column: Cells) -> Sequence[Any]:
    """The cells of a column as plain Python values."""
    found: Sequence[Any] = column.tolist() if isinstance(column, np.ndarray) else column
    return found


class BatchSource(Protocol):
    """Reads rows in the order of their keys. Opening fails only if the URL is malformed or a driver is missing.

    Raises:
        SettingsError, UnknownName: raised by every method if a file, table or column does not exist or cannot be used.
        Unavailable: raised by every method if the source does not answer.
    """

    async def shape(self) -> Shape: ...

    async def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        """The number of rows after `after`, or None if counting would take as long as reading."""
        ...

    async def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None:
        """The next rows, at most `limit`; None if there are none. If `after` is None, reads from the beginning."""
        ...

    async def close(self) -> None: ...


class BatchSink(Protocol):
    """Stores results and the state of the run. Raises as a BatchSource does.

    Attributes:
        page_rows: the largest number of rows that one write should have. Each write waits for the disk.
    """

    page_rows: int

    async def load(self) -> BatchRun | None:
        """The state of the last run that wrote to this sink, or None."""
        ...

    async def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        """Creates missing files or tables, removes results after the checkpoint, and writes the state of the run.

        Args:
            anew: also deletes the results of earlier runs, if the results are not in the source table itself.

        Raises:
            Conflict: another run has written since `run` was loaded.
        """
        ...

    async def write(self, run: BatchRun, results: Results) -> BatchRun:
        """Writes the results and the state together; returns the state with its new revision.

        Raises:
            Conflict: another run has written in the meantime.
        """
        ...

    async def finish(self, run: BatchRun) -> BatchRun:
        """Writes that the run is finished; returns the state with its new revision."""
        ...

    async def failures(self, limit: int) -> list[Failure]:
        """The first `limit` rows that could not be predicted, in the order of their keys."""
        ...

    async def close(self) -> None: ...


class BatchItems(Protocol):
    """A table of both rows and predictions: an id, the values and the prediction as JSON, and two timestamps."""

    async def fill(self, rows: Sequence[Any]) -> bool:
        """Creates the table with these rows if it does not exist, and returns whether it did. It is safe if other
        processes do the same at the same time."""
        ...

    async def add(self, rows: Sequence[Any]) -> None: ...
    async def close(self) -> None: ...
