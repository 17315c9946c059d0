"""A histogram of durations with a high dynamic range: from a nanosecond to hours, with three significant digits."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["Histogram"]

DIGITS = 11  # bits of a value that are kept: the width of a bucket is at most 1/1024 of its values
HALF = 1 << (DIGITS - 1)


class Histogram:
    """Counts durations in log-linear buckets, as HdrHistogram does (https://hdrhistogram.org).

    Durations below 2,048 ns have buckets of 1 ns; each doubling above has 1,024 buckets. Empty buckets take no memory,
    so a histogram for every second of a load costs little. Minimum, maximum and mean are exact.

    Attributes:
        count: the number of durations.
        total: their sum, in nanoseconds.
        least, most: the shortest and the longest, in nanoseconds; 0 without durations.
    """

    __slots__ = ("count", "counts", "least", "most", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = self.total = self.least = self.most = 0

    def record(self, seconds: float) -> None:
        """Counts one duration. A negative one, possible only if a clock was set back, counts as 0."""
        value = int(seconds * 1e9)
        value = max(value, 0)
        shift = value.bit_length() - DIGITS
        index = value if shift <= 0 else shift * HALF + (value >> shift)
        self.counts[index] = self.counts.get(index, 0) + 1
        if value > self.most:
            self.most = value
        if value < self.least or not self.count:
            self.least = value
        self.count += 1
        self.total += value

    def merge(self, others: Iterable[Histogram]) -> Histogram:
        """Adds the counts of other histograms; returns this one."""
        for other in others:
            if not other.count:
                continue
            for index, count in other.counts.items():
                self.counts[index] = self.counts.get(index, 0) + count
            self.least = min(self.least, other.least) if self.count else other.least
            self.most = max(self.most, other.most)
            self.count += other.count
            self.total += other.total
        return self

    @property
    def mean(self) -> float:
        """The mean in seconds; 0 without durations."""
        return self.total / self.count / 1e9 if self.count else 0.0

    def quantiles(self, shares: Iterable[float]) -> list[float]:
        """The quantile of each share, in seconds, by the nearest-rank method, with three digits; zeros without
        durations. The shares must be in ascending order."""
        buckets = iter(sorted(self.counts.items()))
        found, seen, index = [], 0, 0
        for share in shares:
            rank = max(1, math.ceil(share * self.count - 1e-9))
            while seen < rank and self.count:
                index, count = next(buckets)
                seen += count
            found.append(min(max(_middle(index), self.least), self.most) / 1e9)
        return found


def _middle(index: int) -> int:
    """The middle of a bucket, in nanoseconds."""
    shift = max(0, index // HALF - 1)
    return ((index - shift * HALF) << shift) + (1 << shift >> 1)
