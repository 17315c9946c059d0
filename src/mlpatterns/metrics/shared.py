"""The metrics of several processes in one block of memory that all of them map.

The block is a header and segments of equal size. Two segments hold the folded values, which are those of processes that
ended: one is in use, and the next fold writes the other. One segment for each process follows. A segment has an index
with one JSON line for each series, and the cells of the series in the order of the lines. Only its process writes to a
segment; only the supervisor folds. A segment belongs to a process number and not to a process id of the operating
system, so that a process with a reused id inherits nothing.
"""

from __future__ import annotations

import logging
import mmap
import time
from array import array
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from mlpatterns.metrics.series import Family, Labels, MetricSample, combined
from mlpatterns.metrics.table import CAPACITY, SeriesTable

__all__ = ["SharedMetrics"]

log = logging.getLogger("mlpatterns")

HEADER = 4096  # bytes before the first segment
EPOCH, IN_USE = 0, 1  # words of the header: a counter, odd while a fold switches segments; the folded segment in use
FOLDED = 2  # number of segments with folded values
INDEX = 1536 * 1024  # bytes of a segment before its cells
SEGMENT = INDEX + CAPACITY * 8
READ_TRIES, READ_PAUSE = 100, 0.0002  # the pause is in seconds; a fold switches in microseconds


class SeriesEntry(Struct, omit_defaults=True):
    """One series in an index. Only the first entry of a family has `family`."""

    name: str
    labels: Labels
    family: Family | None = None


_decoder = msgspec.json.Decoder(SeriesEntry)


class SharedMetrics:
    """The metrics of up to `processes` processes, numbered from 0.

    Args:
        file: the file descriptor of `size(processes)` bytes of shared memory, initially all zero. The caller may close
            it after this call.
    """

    def __init__(self, file: int, processes: int) -> None:
        memory = memoryview(mmap.mmap(file, self.size(processes)))
        self._header = memory[:HEADER].cast("Q")
        starts = range(HEADER, self.size(processes), SEGMENT)
        self._segments = [Segment(memory[start : start + SEGMENT]) for start in starts]

    @staticmethod
    def size(processes: int) -> int:
        """The bytes that this many processes need. The operating system allocates memory only as it is used."""
        return HEADER + (FOLDED + processes) * SEGMENT

    def table(self, process: int) -> SeriesTable:
        """The empty table of a process that starts; call it once in that process."""
        return self._segments[FOLDED + process].table()

    def samples(self) -> list[MetricSample]:
        """All series, combined over all processes. The values of each are all cells of the series."""
        for _ in range(READ_TRIES):
            epoch = self._header[EPOCH]
            if epoch % 2 == 0:
                found = self._read_segments(epoch)
                if self._header[EPOCH] == epoch:
                    return combined(found)
            time.sleep(READ_PAUSE)
        return combined(self._read_segments())  # the supervisor died in a fold

    def fold(self, process: int) -> None:
        """Adds the values of a process that has ended to the folded values, and clears its segment for the next one.

        If the folded values have no space for a series, that series and all after it are left out, and the error is
        logged.
        """
        ended = self._segments[FOLDED + process]
        in_use = self._header[IN_USE]
        outlive = [sample for sample in ended.read() if sample.family.outlives_its_process]
        spare = self._segments[1 - in_use]
        spare.clear()
        table = spare.table()
        try:
            for sample in combined([*self._segments[in_use].read(), *outlive]):
                table.series(sample.family, sample.labels).cells[:] = _doubles(sample.values)
        except RuntimeError as error:
            log.error("the metrics of ended workers are incomplete: %s", error)
        self._header[EPOCH] += 1
        self._header[IN_USE] = 1 - in_use
        ended.clear()
        self._header[EPOCH] += 1

    def _read_segments(self, epoch: int = -1) -> list[MetricSample]:
        # Folded values first, because the last definition of a family counts: a live process may be of a newer release.
        in_use = self._segments[self._header[IN_USE]]
        return [sample for segment in (in_use, *self._segments[FOLDED:]) for sample in segment.read(epoch)]


class Segment:
    """The metrics of one process in shared memory."""

    def __init__(self, memory: memoryview) -> None:
        self._length = memory[:8].cast("Q")  # of the index
        self._index = memory[8:INDEX]
        self._cells = memory[INDEX:].cast("d")
        self._epoch, self._decoded = -1, 0  # the epoch, and how many bytes of the index were decoded in it
        self._known: list[tuple[Family, Labels, int, int]] = []  # and the range of its cells
        self._families: dict[str, Family] = {}

    def table(self) -> SeriesTable:
        described: set[str] = set()

        def add(family: Family, labels: Labels) -> None:
            line = (
                msgspec.json.encode(SeriesEntry(family.name, labels, None if family.name in described else family))
                + b"\n"
            )
            start = self._length[0]
            if start + len(line) > len(self._index):
                raise RuntimeError(f"the index of metrics is full: a label of {family.name!r} takes too many values")
            self._index[start : start + len(line)] = line
            self._length[0] = start + len(line)  # last, so that readers see complete lines only
            described.add(family.name)

        return SeriesTable(self._cells, add)

    def read(self, epoch: int = -1) -> list[MetricSample]:
        """The series so far.

        Args:
            epoch: the part of the index that was decoded in the same epoch is not decoded again. (default: everything
                is decoded again)
        """
        if epoch != self._epoch or epoch < 0:
            self._epoch, self._decoded, self._known, self._families = epoch, 0, [], {}
        self._decode()
        known = self._known
        return [MetricSample(family, labels, list(self._cells[start:end])) for family, labels, start, end in known]

    def clear(self) -> None:
        """Clears the segment for a process that starts."""
        length, used = self._length[0], sum(sample.family.width for sample in self.read())
        self._length[0] = 0  # first, so that no process reads cells while they are cleared
        self._index[:length] = bytes(length)
        self._cells[:used] = _doubles([0.0] * used)

    def _decode(self) -> None:
        """Decodes what was added to the index since the last call."""
        end = self._known[-1][-1] if self._known else 0
        for line in bytes(self._index[self._decoded : self._length[0]]).splitlines(keepends=True):
            try:
                entry = _decoder.decode(line)
            except msgspec.DecodeError:  # a store of another processor is not visible yet; the next read sees it
                break
            family = self._families.setdefault(entry.name, entry.family) if entry.family else self._families[entry.name]
            self._known.append((family, entry.labels, end, end + family.width))
            end += family.width
            self._decoded += len(line)


def _doubles(values: Sequence[float]) -> memoryview[float]:
    return memoryview(array("d", values))
