"""Windows of logged predictions: each record belongs to one window of its version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from random import Random
from typing import Any

from mlpatterns.stores.log import Record
from mlpatterns.stores.monitor import Cell, OpenWindow

__all__ = ["MOST_CELLS", "WindowBuilder", "cells_by_column", "key_of"]

MOST_CELLS = 1_000_000  # of one window
MOST_OPEN = 50  # versions; with more, the window whose last record is oldest is dropped


def key_of(model: str, version: str) -> str:
    return f"{model}:{version}"


class WindowBuilder:
    """Adds records to the open window of their version, and returns windows that are complete.

    A window is complete when it is as long as `interval` and has `min_rows` rows; with little traffic it stays open
    longer.

    Args:
        interval: the least seconds of a window.
        min_rows: the least rows of a window.
        max_rows: the most rows that a window keeps; of more rows it keeps a random sample.
        fields: the names of the columns of an input with that many columns.
        outliers: the output, or the note, that says which rows are outliers.
    """

    def __init__(
        self, *, interval: float, min_rows: int, max_rows: int, fields: Sequence[str], outliers: str | None
    ) -> None:
        self.interval, self.min_rows, self.max_rows = interval, min_rows, max_rows
        self.fields, self.outliers = tuple(fields), outliers
        self.open: dict[str, OpenWindow] = {}
        self._random = Random(0)  # noqa: S311 - for samples, not for secrets

    def restore(self, windows: Iterable[OpenWindow]) -> None:
        self.open = {key_of(window.model, window.version): window for window in windows}

    def add(self, record: Record) -> Iterable[OpenWindow]:
        """Adds a record; returns the windows that were complete before it."""
        key = key_of(record.model, record.version)
        complete = [self.open.pop(key)] if key in self.open and self._complete(self.open[key], record.at) else []
        window = self._opened(record, record.at)
        window.began, window.ended = min(window.began, record.at), max(window.ended, record.at)
        window.records += 1
        rows, judged = window.rows, window.judged
        self._add_rows(window, cells_by_column(record.inputs or {}, self.fields))
        self._add_outliers(window, self._flags(record))
        if window.rows == rows:  # a log does not keep the values of images
            window.rows += window.judged - judged
        return complete

    def learn(self, record: Record, at: float, *, right: bool) -> None:
        """Adds the label of a record to the open window of its version."""
        window = self._opened(record, at)
        window.labelled += 1
        window.right += right

    def due(self, now: float) -> Iterable[OpenWindow]:
        """Returns the windows that are complete because enough time has passed."""
        keys = [key for key, window in self.open.items() if self._complete(window, now)]
        return [self.open.pop(key) for key in keys]

    def _opened(self, record: Record, at: float) -> OpenWindow:
        key = key_of(record.model, record.version)
        if key not in self.open:
            if len(self.open) >= MOST_OPEN:
                self.open.pop(min(self.open, key=lambda each: self.open[each].ended))
            self.open[key] = OpenWindow(record.model, record.version, at, at)
        return self.open[key]

    def _complete(self, window: OpenWindow, now: float) -> bool:
        return now - window.began >= self.interval and window.rows >= self.min_rows

    def _add_rows(self, window: OpenWindow, columns: Mapping[str, Sequence[Cell]]) -> None:
        """Keeps at most `max_rows`, each row of the window with the same probability (Vitter, "Random sampling with a
        reservoir", algorithm R, 1985)."""
        count = max(map(len, columns.values()), default=0)
        kept = max(map(len, window.columns.values()), default=0)
        for name in columns:
            window.columns.setdefault(name, [None] * kept)
        most = min(self.max_rows, max(1, MOST_CELLS // max(1, len(window.columns))))
        for index in range(count):
            window.rows += 1
            row = {name: cells[index] if index < len(cells) else None for name, cells in columns.items()}
            place = kept if kept < most else self._random.randrange(window.rows)
            if place >= most:
                continue
            kept = max(kept, place + 1)
            for name, cells in window.columns.items():
                if place == len(cells):
                    cells.append(row.get(name))
                else:
                    cells[place] = row.get(name)

    def _flags(self, record: Record) -> Any:
        """The outlier flags, from the output, or from the note if the caller did not ask for the output."""
        noted = (note.value for note in reversed(record.notes) if note.key == self.outliers)
        return (record.outputs or {}).get(self.outliers or "", next(noted, None))

    def _add_outliers(self, window: OpenWindow, flags: Any) -> None:
        if isinstance(flags, bool):
            flags = [flags]
        if isinstance(flags, list):
            known = [flag for flag in _flat(flags) if isinstance(flag, bool)]
            window.judged += len(known)
            window.outliers += sum(known)


def cells_by_column(inputs: Mapping[str, Any], fields: Sequence[str]) -> dict[str, list[Cell]]:
    """The inputs of a record as columns. An input with as many columns as `fields` has these names; the columns of
    another have the name of the input, with a number if there are several: ``input[0]``. Inputs without rows of
    single values are left out.
    """
    columns: dict[str, list[Cell]] = {}
    for name, value in inputs.items():
        rows = [row if isinstance(row, list) else [row] for row in value] if isinstance(value, list) else []
        width = len(rows[0]) if rows else 0
        if any(len(row) != width for row in rows) or any(isinstance(cell, list | dict) for row in rows for cell in row):
            continue
        names = fields if len(fields) == width and name not in fields else _numbered(name, width)
        columns |= {column: [_cell(row[index]) for row in rows] for index, column in enumerate(names)}
    return columns


def _numbered(name: str, width: int) -> Sequence[str]:
    return [name] if width == 1 else [f"{name}[{index}]" for index in range(width)]


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else float(value)


def _flat(values: list[Any]) -> Iterable[Any]:
    return chain.from_iterable(_flat(value) if isinstance(value, list) else [value] for value in values)
