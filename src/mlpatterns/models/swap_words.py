"""What is said of a swap that did not come about: as strangers may read it, without the address of a store."""

from __future__ import annotations

from mlpatterns.errors import (
    ArtifactsDown,
    Conflict,
    MlpatternsError,
    NotFound,
    PredictionError,
    RegistryDown,
    Unavailable,
    UnknownName,
)

__all__ = ["outage", "refusal"]

GOES_ON = "the version that serves goes on"


def outage(error: RegistryDown | Unavailable, *, serving: bool) -> str:
    """The trouble while registry, files or control store do not answer."""
    if isinstance(error, RegistryDown):
        return f"{_silent(error)}; {GOES_ON}" if serving else _silent(error)
    return "the control store does not answer"


def refusal(error: MlpatternsError) -> PredictionError:
    """The answer to a command that was not carried out."""
    if isinstance(error, PredictionError):
        return error
    if isinstance(error, RegistryDown):
        return Unavailable(f"{_silent(error)}, so nothing was changed", retry_after=1)
    cause = error.__cause__
    if isinstance(error, UnknownName) or isinstance(cause, UnknownName):
        return NotFound(str(cause or error))
    return Conflict(f"{error}; {GOES_ON}")


def _silent(error: RegistryDown) -> str:
    what = "where the files of models are" if isinstance(error, ArtifactsDown) else "the registry"
    return f"{what} does not answer"
