"""The interfaces of time, metrics and shared state. Pieces and programs use them; tests replace them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from msgspec import Struct

__all__ = ["BUCKETS", "Clock", "ControlStore", "Document", "MetricSeries", "Metrics", "Shared", "Workers"]

T = TypeVar("T")

Workers = Literal["sum", "max", "newest"]
# Seconds: from 0.1 ms, the time of a small model, to 30 s, the default time limit of a request.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Clock(Protocol):
    """The time, in seconds. A test replaces it with a clock that stands still."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, which never decrease. For durations and deadlines."""
        ...

    def time(self) -> float:
        """Seconds since 1970. For times that are stored or shown."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`."""
        ...


class MetricSeries(Protocol):
    """One metric with fixed labels. Get it once, at the start; each call then costs well under a microsecond."""

    @property
    def value(self) -> float:
        """The value in this process."""
        ...

    def inc(self, amount: float = 1.0) -> None:
        """Adds to a counter or a gauge."""
        ...

    def set(self, value: float) -> None:
        """Sets a gauge."""
        ...

    def observe(self, value: float) -> None:
        """Adds one observation to a histogram."""
        ...


class Metrics(Protocol):
    """The metrics of one app. The same name with the same labels gives the same series.

    Names follow the conventions of Prometheus: they begin with `mlpatterns_` and end with the base unit (seconds,
    bytes), and those of counters with `_total`. A metric of a piece has the label `piece`: its path (`Runtime.path`).
    docs/operations.md lists all metrics.
    """

    def counter(self, name: str, help: str, **labels: str) -> MetricSeries:
        """A number that only grows; `help` says what it counts."""
        ...

    def gauge(self, name: str, help: str, *, workers: Workers = "sum", **labels: str) -> MetricSeries:
        """A number that goes up and down.

        Args:
            workers: how the values of several processes are combined: their ``sum``, their ``max`` (for a state), or
                the ``newest`` (for a number that one process computes for all, such as a drift).
        """
        ...

    def histogram(self, name: str, help: str, *, bounds: Sequence[float] = BUCKETS, **labels: str) -> MetricSeries:
        """The distribution of a number.

        Args:
            bounds: the upper bounds of the buckets, ascending; by default those for seconds.
        """
        ...


class Document(Struct, Generic[T], frozen=True):
    """One version of a shared value.

    Attributes:
        value: the value.
        revision: 1 for the first version; each change adds 1. 0 means that the value was never written.
        by: who wrote it.
        at: when it was written, in seconds since 1970.
    """

    value: T
    revision: int = 0
    by: str = ""
    at: float = 0.0


class ControlStore(Protocol):
    """Versioned documents that all workers and replicas share: weights, thresholds, rules, leases.

    A key and the name of a writer have 1 to 256 characters each. A value is JSON of at most 64 KiB. Opening a store
    fails only if its URL is malformed or its driver is missing; a store that is down raises Unavailable when it is
    used.

    Raises:
        Unavailable: every method: the store does not answer now. A `put` may have succeeded nevertheless; read again.
    """

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        """The newest version of each document that exists, by key, in one round trip."""
        ...

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        """Writes a new version if the stored revision is `expected`; None expects that no document exists.

        Args:
            by: the name of the writer.

        Raises:
            Conflict: another revision is stored.
            InvalidInput: the value cannot be written as JSON, or the key or the writer's name is malformed.
            TooLarge: the value is larger than 64 KiB.
        """
        ...

    async def history(self, key: str, limit: int = 20) -> list[Document[Any]]:
        """The last versions of a document, newest first; the store keeps the last 1000 versions."""
        ...

    async def close(self) -> None: ...


class Shared(Protocol[T]):
    """One typed document of the ControlStore. A piece gets it from `Runtime.shared`.

    Raises:
        Unavailable: `change`, `history` and `undo`: the store does not answer.
    """

    @property
    def document(self) -> Document[T]:
        """The last version that this process has read; at most a second old while the store answers. Read it once
        per request.

        Raises:
            Unavailable: the document could not be read yet.
        """
        ...

    async def change(self, function: Callable[[T], T], by: str) -> Document[T]:
        """Replaces the value with the result of `function`, which must be pure: it is called again if another
        process writes in the meantime. If it returns an equal value, nothing is written.

        Raises:
            Conflict: another process wrote during every attempt.
        """
        ...

    async def history(self, limit: int = 20) -> Sequence[Document[T]]:
        """The last versions, newest first."""
        ...

    async def undo(self, by: str) -> Document[T]:
        """Writes the value before the newest one.

        Raises:
            Conflict: there is no earlier value, or another process has written in the meantime.
        """
        ...

    def watch(self, changed: Callable[[Document[T]], None]) -> None:
        """Calls `changed` with each new version that this process reads, until the piece stops."""
        ...
