"""What a HotSwap shares with other processes, says to operators, and counts."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.interfaces import Metric, Metrics

__all__ = ["Refusal", "SwapDocument", "SwapFigures", "SwapState"]

KEPT = 20  # versions of the way back


class SwapDocument(Struct, frozen=True):
    """The value of a shared document.

    Attributes:
        pin: the version that serves whatever the alias names, or None to follow the alias.
        served: versions in the order in which they came to serve; the last one serves now.
    """

    pin: int | None = None
    served: tuple[int, ...] = ()

    def with_served(self, version: int) -> SwapDocument:
        """The same after `version` came to serve."""
        if self.served[-1:] == (version,):
            return self
        return replace(self, served=(*self.served, version)[-KEPT:])

    def before(self, version: int | None) -> int | None:
        """The version that served before the last one, or None. A process in which `version` serves may be behind the
        others; or ahead, if that could not be noted."""
        last = self.served[-1] if version in self.served else version
        return next((each for each in reversed(self.served) if each != last), None)

    def rolled_back(self, version: int) -> SwapDocument:
        """The same with `version` pinned, and the way back beginning there."""
        if version not in self.served:
            return SwapDocument(version, self.served)
        place = len(self.served) - 1 - self.served[::-1].index(version)
        return SwapDocument(version, self.served[: place + 1])


FIRST, MOST = 1.0, 60.0  # seconds until a version that was refused is tried again


class SwapState(Struct, frozen=True):
    """Which version serves, and why.

    Attributes:
        version: that serves, or None while none does.
        identity: of what serves.
        pinned: the version that serves whatever the alias names, or None.
        previous: what a rollback would let serve, or None.
        trouble: why another version does not serve that should, or nothing.
    """

    model: str
    follows: str
    version: int | None
    identity: str | None
    pinned: int | None
    previous: int | None
    trouble: str


class Refusal(Struct, frozen=True):
    """A version that could not serve. `again`: monotonic seconds, when it may be tried once more."""

    version: int
    sentence: str
    again: float
    delay: float

    @classmethod
    def after(cls, before: Refusal | None, version: int, sentence: str, now: float) -> Refusal:
        """The next one: of the same version twice as long."""
        delay = FIRST if before is None or before.version != version else min(2 * before.delay, MOST)
        return cls(version, sentence, now + delay, delay)

    def may_try(self, version: int, now: float) -> bool:
        return version != self.version or now >= self.again


class SwapFigures:
    """The metrics of one HotSwap."""

    def __init__(self, metrics: Metrics, piece: str) -> None:
        self._done, self.refused = (
            metrics.counter("mlpatterns_swaps_total", "Versions that came to serve, or were refused.",
                            piece=piece, result=result)
            for result in ("done", "refused")
        )  # fmt: skip
        self.seconds = metrics.histogram(
            "mlpatterns_swap_seconds", "Time to load and check a version beside the one that serves.", piece=piece
        )
        self._metrics, self._piece = metrics, piece
        self._serving: Metric | None = None
        self.trouble = metrics.gauge(
            "mlpatterns_swap_trouble", "1 while a version that should serve does not, or it is not known which.",
            piece=piece,
        )  # fmt: skip

    def swapped(self, version: int) -> None:
        self._done.inc()
        if self._serving is not None:
            self._serving.set(0)
        self._serving = self._metrics.gauge(
            "mlpatterns_model_version", "Workers in which this version serves.", piece=self._piece, version=str(version)
        )
        self._serving.set(1)
