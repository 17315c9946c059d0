"""A version that should serve but does not: the record of its refusal, the metrics, and the error texts for clients.

Because clients get these texts, they never contain the address of a store.
"""

from __future__ import annotations

from msgspec import Struct

from mlpatterns.errors import Conflict, MlpatternsError, NotFound, PredictionError, Unavailable
from mlpatterns.interfaces import Metrics, MetricSeries
from mlpatterns.user_errors import ArtifactsDown, RegistryDown, UnknownName

__all__ = ["RefusedVersion", "SwapMetrics", "command_error", "outage"]

FIRST, MOST = 1.0, 60.0  # seconds until a refused version is tried again, at first and at most
GOES_ON = "the version that serves goes on"


class RefusedVersion(Struct, frozen=True):
    """A version that could not serve.

    Attributes:
        version: its number.
        sentence: the reason.
        retry_at: the time of the monotonic clock, in seconds, from which it may be tried again.
        delay: seconds from the refusal to `retry_at`.
    """

    version: int
    sentence: str
    retry_at: float
    delay: float

    @classmethod
    def after(cls, before: RefusedVersion | None, version: int, sentence: str, now: float) -> RefusedVersion:
        """The record of a new refusal. The delay doubles when the same version is refused again."""
        delay = FIRST if before is None or before.version != version else min(2 * before.delay, MOST)
        return cls(version, sentence, now + delay, delay)

    def may_try(self, version: int, now: float) -> bool:
        return version != self.version or now >= self.retry_at


class SwapMetrics:
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


def outage(error: RegistryDown | Unavailable, *, serving: bool) -> str:
    """The health text while the registry, the artifact store or the control store does not answer."""
    if isinstance(error, RegistryDown):
        return f"{_not_answering(error)}; {GOES_ON}" if serving else _not_answering(error)
    return "the control store does not answer"


def command_error(error: MlpatternsError) -> PredictionError:
    """The error for the client whose command failed."""
    if isinstance(error, PredictionError):
        return error
    if isinstance(error, RegistryDown):
        return Unavailable(f"{_not_answering(error)}, so nothing was changed", retry_after=1)
    cause = error.__cause__
    if isinstance(error, UnknownName) or isinstance(cause, UnknownName):
        return NotFound(str(cause or error))
    return Conflict(f"{error}; {GOES_ON}")


def _not_answering(error: RegistryDown) -> str:
    what = "where the files of models are" if isinstance(error, ArtifactsDown) else "the registry"
    return f"{what} does not answer"
