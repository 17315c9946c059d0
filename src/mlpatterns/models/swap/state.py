"""What a HotSwap shares with other processes, says to operators, and counts."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.interfaces import Metrics, MetricSeries
from mlpatterns.models.swap.contract import Contract

__all__ = ["Refusal", "SwapDocument", "SwapFigures", "SwapState"]

KEPT = 20  # versions of the way back


class SwapDocument(Struct, frozen=True):
    """The value of a shared document.

    Attributes:
        pin: the version that serves whatever the alias names, or None to follow the alias.
        served: versions in the order in which they came to serve; the last one serves now.
        follows: the reference that was followed then.
        contract: what the clients of the last one rely on: known also when its files are gone.
    """

    pin: int | None = None
    served: tuple[int, ...] = ()
    follows: str = ""
    contract: Contract = Contract()

    def with_served(self, version: int, follows: str, contract: Contract) -> SwapDocument:
        """The same after `version` came to serve."""
        served = self.served if self.served[-1:] == (version,) else (*self.served, version)[-KEPT:]
        return replace(self, served=served, follows=follows, contract=contract)

    def with_alias_served(self, version: int, follows: str, contract: Contract) -> SwapDocument:
        """The same where the alias decides; under a pin nothing is written in its name."""
        return self if self.pin is not None else self.with_served(version, follows, contract)

    def last(self, follows: str) -> int | None:
        """The version that served last for who follows this reference, or None: another reference was followed, and who
        writes another one into an app has decided himself. A document of an earlier mlpatterns does not say which."""
        return self.served[-1] if self.served and self.follows in ("", follows) else None

    def accepts(self, version: int, follows: str) -> bool:
        """Whether `version` has come to serve already, in a process that checked it or was commanded to."""
        return self.served[-1:] == (version,) and (self.pin == version or self.last(follows) == version)

    def kept_by(self, version: int, follows: str, serving: Contract | None) -> Contract | None:
        """What `version` must keep to where `serving` serves, or nothing does yet: then what served last; None where
        there is nothing to keep, or `version` is what other processes serve."""
        if self.accepts(version, follows):
            return None
        return serving or (None if self.last(follows) is None else self.contract)

    def pinned(self, version: int | None) -> SwapDocument:
        """The same with another pin, or none."""
        return replace(self, pin=version)

    def before(self, version: int | None) -> int | None:
        """The version that served before the last one, or None. A process in which `version` serves may be behind the
        others; or ahead, if that could not be noted."""
        last = self.served[-1] if version in self.served else version
        return next((each for each in reversed(self.served) if each != last), None)

    def rolled_back(self, version: int) -> SwapDocument:
        """The same with `version` pinned, and the way back beginning there."""
        if version not in self.served:
            return self.pinned(version)
        place = len(self.served) - 1 - self.served[::-1].index(version)
        return replace(self, pin=version, served=self.served[: place + 1])


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
        self._serving: MetricSeries | None = None
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
