"""Where a batch run reads its rows and writes its results: tables and files, chosen by URL.

A run is one document, kept with the results: each page's results and the run as it is after them are written together,
so that a run that was killed goes on where it was, and no row is written twice.
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
    """A column of a table or file, and what its cells hold."""

    name: str
    kind: Kind


class Shape(Struct, frozen=True):
    """What a source holds.

    Attributes:
        key: the column that tells rows apart and orders them; of a file without one, ``row``, which counts from 1.
        digest: of a file, what tells whether it is still the same; empty of a table, which may grow.
    """

    columns: tuple[Column, ...]
    key: Column
    digest: str = ""


class Page(Struct, frozen=True):
    """Rows in the order of their keys.

    Attributes:
        columns: cells by the name of their column, as many as there are keys.
        after: where the next page begins: what JSON can say.
        wrong: rows that are none, by their place in the page, and why.
    """

    keys: Sequence[Any]
    columns: Mapping[str, Cells]
    after: Any
    wrong: Mapping[int, str] = MappingProxyType({})


class Failure(Struct, frozen=True):
    """A row that was not predicted, and why."""

    key: Any
    code: str
    error: str


class Results(Struct, frozen=True):
    """What came of a page: cells by column, as many as keys, and the rows that failed."""

    keys: Sequence[Any]
    columns: Mapping[str, Cells]
    failures: Sequence[Failure] = ()


class BatchRun(Struct, frozen=True):
    """One run, as far as it is.

    Attributes:
        identity: of the model.
        digest: of the source.
        after: where in the source it is.
        rows, failed: that were predicted, and that could not be.
        began, at: when it began, and when this was written; in seconds since 1970.
        page_rows: rows read at once: a run that goes on reads the same pages as one that was never stopped.
        revision: grows with each write: of two that run at once, the second to write finds that it may not.
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
    """A column as plain values."""
    found: Sequence[Any] = column.tolist() if isinstance(column, np.ndarray) else column
    return found


class BatchSource(Protocol):
    """Rows by key. Opening one fails on a malformed URL or a missing driver only.

    Raises:
        SettingsError, UnknownName: by every method: there is no such file, table or column.
        Unavailable: by every method: it does not answer now.
    """

    async def shape(self) -> Shape: ...

    async def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        """The rows after `after`, or None where to count them would take as long as to read them."""
        ...

    async def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None:
        """The next rows, at most `limit`; None if there are none. `after` None is the beginning."""
        ...

    async def close(self) -> None: ...


class BatchSink(Protocol):
    """Where results go, and the run with them. Raises as a BatchSource does.

    Attributes:
        page_rows: the most that one write should have: a page costs a wait for the disk.
    """

    page_rows: int

    async def load(self) -> BatchRun | None:
        """The run that wrote there last."""
        ...

    async def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        """Makes what is missing, puts away what lies behind the checkpoint, and writes the run.

        Args:
            anew: the results of earlier runs go, where results lie apart from what they are made of.

        Raises:
            Conflict: another run has written since `run` was loaded.
        """
        ...

    async def write(self, run: BatchRun, results: Results) -> BatchRun:
        """Writes results and run, both or neither; what it returns has the next revision.

        Raises:
            Conflict: another run has written meanwhile.
        """
        ...

    async def finish(self, run: BatchRun) -> BatchRun:
        """Writes that the run is finished."""
        ...

    async def failures(self, limit: int) -> list[Failure]:
        """Rows that could not be predicted, the first by key."""
        ...

    async def close(self) -> None: ...


class BatchItems(Protocol):
    """A table whose rows are predicted where they are: id, values and prediction as JSON, and two times."""

    async def fill(self, rows: Sequence[Any]) -> bool:
        """Makes the table with these rows if there is none, whoever else does so at the same time; whether it did."""
        ...

    async def add(self, rows: Sequence[Any]) -> None: ...
    async def close(self) -> None: ...
