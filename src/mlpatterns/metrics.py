"""Metrics whose updates cost a tenth of a microsecond and whose sums are right with several workers.

A series is a few doubles in a memory map. With one process the map is anonymous; under a supervisor each worker maps
a file of its own in one shared folder, and whoever is asked for `/metrics` puts all of them together. Counters and
histograms of a worker that died still count (they happened); its gauges do not (they no longer hold).

Aligned 8-byte stores do not tear on x86-64 and arm64, so no lock is needed between the one writer and its readers.
Update a series on the event loop's thread only.
"""

from __future__ import annotations

import mmap
import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from mlpatterns.interfaces import BUCKETS, Workers

__all__ = ["Family", "MetricRegistry", "Sample", "Series"]

CAPACITY = 65_536  # doubles a process: 3,400 histograms; the file is sparse until they are used

Kind = Literal["counter", "gauge", "histogram"]


class Family(Struct, frozen=True):
    """What all series of one name have in common.

    Attributes:
        workers: how the values of several processes make one.
        bounds: of a histogram's buckets, ascending.
    """

    name: str
    kind: Kind
    help: str
    workers: Workers = "sum"
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Its doubles: a histogram's buckets, +Inf and the sum; of the newest value also when it was set."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 2 if self.workers == "newest" else 1


class Description(Struct, frozen=True):
    """Where one series lies in its process's map."""

    family: Family
    labels: tuple[tuple[str, str], ...]
    offset: int


class Sample(Struct):
    """One series over all processes. `values`: one number, or counts by bucket, +Inf and the sum."""

    family: Family
    labels: tuple[tuple[str, str], ...]
    values: list[float]


class Series:
    """One labelled series; see interfaces.MetricSeries. `cells` is where its numbers lie."""

    __slots__ = ("_bounds", "cells")

    def __init__(self, cells: memoryview[float], bounds: tuple[float, ...]) -> None:
        self.cells, self._bounds = cells, bounds

    @property
    def value(self) -> float:
        return self.cells[0]

    def inc(self, amount: float = 1.0) -> None:
        self.cells[0] += amount

    def set(self, value: float) -> None:
        self.cells[0] = value

    def observe(self, value: float) -> None:
        cells = self.cells
        cells[bisect_left(self._bounds, value)] += 1.0
        cells[-1] += value


class Newest(Series):
    """One of which the value that was set last counts, whichever process set it."""

    __slots__ = ()

    def set(self, value: float) -> None:
        self.cells[1] = time.time()
        self.cells[0] = value


class MetricRegistry:
    """The metrics of one app in one process.

    Args:
        folder: where the workers of one supervisor keep their maps, or None for a process of its own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._series: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Description, Series]] = {}
        self._families: dict[str, Family] = {}
        self._used = 0
        self._cells = memoryview(self._map()).cast("d")

    def counter(self, name: str, help: str, **labels: str) -> Series:
        return self._resolve(Family(name, "counter", help), labels)

    def gauge(self, name: str, help: str, *, workers: Workers = "sum", **labels: str) -> Series:
        return self._resolve(Family(name, "gauge", help, workers), labels)

    def histogram(self, name: str, help: str, *, bounds: Sequence[float] = BUCKETS, **labels: str) -> Series:
        """
        Raises:
            ValueError: the bounds do not ascend.
        """
        if list(bounds) != sorted(set(bounds)):
            raise ValueError(f"the bounds of {name!r} must ascend")
        return self._resolve(Family(name, "histogram", help, bounds=tuple(bounds)), labels)

    def samples(self) -> list[Sample]:
        """Every series, over the processes that share the folder; ordered by name and labels."""
        found: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[Description, list[float]]]] = {}
        for description, values in self._everyone():
            found.setdefault((description.family.name, description.labels), []).append((description, values))
        return [
            Sample(first.family, first.labels, _merged(first.family, [values for _, values in found[key]]))
            for key in sorted(found)
            for first in (found[key][0][0],)
        ]

    def _map(self) -> mmap.mmap:
        if self._folder is None:
            return mmap.mmap(-1, CAPACITY * 8)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}.values"
        with path.open("w+b") as file:
            file.truncate(CAPACITY * 8)
            return mmap.mmap(file.fileno(), CAPACITY * 8)

    def _resolve(self, family: Family, labels: dict[str, str]) -> Series:
        known = self._families.setdefault(family.name, family)
        if (known.kind, known.workers, known.bounds) != (family.kind, family.workers, family.bounds):
            raise ValueError(f"{family.name!r} is a {known.kind} already, and cannot be another {family.kind} too")
        key = (family.name, tuple(sorted(labels.items())))
        if key not in self._series:
            width = family.width
            if self._used + width > CAPACITY:
                raise RuntimeError(
                    f"more than {CAPACITY} metric cells: a label of {family.name!r} takes too many values"
                )
            description = Description(known, key[1], self._used)
            cells = self._cells[self._used : self._used + width]
            made = Newest if family.workers == "newest" else Series
            self._series[key] = (description, made(cells, family.bounds))
            self._used += width
            self._publish()
        return self._series[key][1]

    def _publish(self) -> None:
        """Writes the table of contents beside the values, in one step so that a reader sees a whole one."""
        if self._folder is None:
            return
        path = self._folder / f"{os.getpid()}.json"
        draft = path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode([description for description, _ in self._series.values()]))
        draft.replace(path)

    def _everyone(self) -> Iterator[tuple[Description, list[float]]]:
        if self._folder is None:
            yield from _read((d for d, _ in self._series.values()), self._cells)
            return
        for path in sorted(self._folder.glob("*.json")):
            contents = msgspec.json.decode(path.read_bytes(), type=list[Description])
            cells = memoryview(path.with_suffix(".values").read_bytes()).cast("d")
            alive = _alive(int(path.stem))
            yield from _read((d for d in contents if alive or not _ends_with_its_process(d.family)), cells)


def _read(contents: Iterable[Description], cells: memoryview[float]) -> Iterator[tuple[Description, list[float]]]:
    for description in contents:
        yield description, list(cells[description.offset : description.offset + description.family.width])


def _ends_with_its_process(family: Family) -> bool:
    return family.kind == "gauge" and family.workers != "newest"


def _merged(family: Family, of_processes: Sequence[list[float]]) -> list[float]:
    if family.workers == "newest":
        return [max(of_processes, key=lambda values: values[1])[0]]
    if family.workers == "max":
        return max(of_processes)
    return [sum(values) for values in zip(*of_processes, strict=True)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
