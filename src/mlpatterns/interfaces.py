"""What stands behind time, metrics and shared state, for those who use them and for tests that replace them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from msgspec import Struct

__all__ = ["BUCKETS", "Clock", "ControlStore", "Document", "Metric", "Metrics", "Shared", "Workers"]

T = TypeVar("T")

Workers = Literal["sum", "max", "newest"]
# Seconds: from a tenth of a millisecond, what a small model takes, to the default time limit.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Clock(Protocol):
    """Time, so that a test can hold it still. Seconds everywhere."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Metric(Protocol):
    """One labelled series. Resolve it once, at start; then each call costs well under a microsecond."""

    @property
    def value(self) -> float:
        """What this process has counted or set."""
        ...

    def inc(self, amount: float = 1.0) -> None: ...
    def set(self, value: float) -> None: ...
    def observe(self, value: float) -> None: ...


class Metrics(Protocol):
    """The metrics of one app. The same name and labels give the same series.

    Names follow Prometheus' conventions: `mlpatterns_` first, the base unit (seconds, bytes) and `_total` for a counter
    last; a piece's series have the label `piece`, which is its path (`Runtime.path`). docs/operations.md lists all.
    """

    def counter(self, name: str, help: str, **labels: str) -> Metric: ...
    def gauge(self, name: str, help: str, *, workers: Workers = "sum", **labels: str) -> Metric:
        """`workers`: how the values of several processes make one: their sum, the largest (of a state), or the one that
        was set last (of a figure that one process finds for all, such as a drift)."""
        ...

    def histogram(self, name: str, help: str, *, bounds: Sequence[float] = BUCKETS, **labels: str) -> Metric:
        """`bounds`: of the buckets, ascending; by default those of seconds."""
        ...


class Document(Struct, Generic[T], frozen=True):
    """One version of a shared value.

    Attributes:
        revision: starts at 1 and grows by 1 a change; 0 is a value that was never written.
        by: who wrote it.
        at: when, in seconds since 1970.
    """

    value: T
    revision: int = 0
    by: str = ""
    at: float = 0.0


class ControlStore(Protocol):
    """Versioned documents shared by all workers and replicas: weights, thresholds, rules, pins, leases.

    A key, and who writes, has 1 to 256 characters; a value is what JSON can say, in 64 KiB at most. Opening a store
    fails on a malformed URL only: one that is down is found out in use.

    Raises:
        Unavailable: by every method: it does not answer now. A `put` may have been done nevertheless: read it again.
    """

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        """The newest version of each document that there is, in one round trip."""
        ...

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        """Writes if the stored revision is `expected` (None: there is none yet), else raises Conflict.

        Raises:
            Conflict: another revision is stored.
            InvalidInput: the value cannot be written as JSON, or a name is malformed.
            TooLarge: the value is too large.
        """
        ...

    async def history(self, key: str, limit: int = 20) -> list[Document[Any]]:
        """The last versions of a document, newest first; the last 1000 are remembered."""
        ...

    async def close(self) -> None: ...


class Shared(Protocol[T]):
    """One typed document of the ControlStore, as a piece uses it.

    Raises:
        Unavailable: by `change`, `history` and `undo`: the store does not answer.
    """

    @property
    def document(self) -> Document[T]:
        """The last version that was read, at most a second old while the store answers. Read it once a request.

        Raises:
            Unavailable: it could not be read yet.
        """
        ...

    async def change(self, function: Callable[[T], T], by: str) -> Document[T]:
        """Writes what `function`, which must be pure, makes of the value as it is then; tried again if others write
        meanwhile. Nothing is written where `function` returns an equal value.

        Raises:
            Conflict: others changed it all the time.
        """
        ...

    async def history(self, limit: int = 20) -> Sequence[Document[T]]:
        """The last versions, newest first."""
        ...

    async def undo(self, by: str) -> Document[T]:
        """Writes the value before the newest one.

        Raises:
            Conflict: there is none, or another has written meanwhile.
        """
        ...

    def watch(self, changed: Callable[[Document[T]], None]) -> None:
        """Calls `changed` with each new version that is seen, until the piece stops."""
        ...
