"""Every exception of mlpatterns. Those below UserError are in `user_errors.py`.

    MlpatternsError
    ├── UserError                 the user can correct it; the command line prints its one sentence
    │   ├── WrongUse              a command, an option or an argument is invalid; exit status 2
    │   │   ├── SettingsError     a setting is unknown, malformed or unreadable
    │   │   ├── NotOffered        a pattern does not support the command, for example it has no server
    │   │   └── TableError        a file of rows cannot be read, or has the wrong form
    │   ├── UnknownName           no pattern, model, alias or version has this name; suggests the nearest
    │   ├── MissingExtra          an optional dependency is not installed; names the extra to install
    │   ├── ModelFileError        a model file is corrupt, or does not match its SHA-256
    │   │   └── NoModelFile       a command names a model file that does not exist (also a WrongUse)
    │   ├── RegistryDown          the model registry does not answer; it may answer later
    │   │   └── ArtifactsDown     the registry answers, but the store of its model files does not
    │   ├── CompositionError      pieces are combined in a way that cannot work
    │   │   └── InvalidSpec       a TensorSpec is invalid (also a ValueError)
    │   └── AddressInUse          another process listens on the port
    ├── NotStarted                a predictor was used before it was started
    └── PredictionError           a request could not be answered; has an ErrorCode
        ├── InvalidInput          INVALID
        ├── NotFound              NOT_FOUND
        ├── TooLarge              TOO_LARGE
        ├── Unsupported           UNSUPPORTED
        ├── Denied                DENIED
        ├── Conflict              CONFLICT
        ├── RateLimited           RATE_LIMITED     (retry_after)
        ├── Overloaded            OVERLOADED       (retry_after)
        ├── Unavailable           UNAVAILABLE      (retry_after)
        │   └── CircuitOpen       a circuit breaker refused the request; the model was not called
        ├── DeadlineExceeded      DEADLINE
        └── InternalError         INTERNAL

A code does not depend on the protocol; ``oip/status.py`` maps it to an HTTP and a gRPC status. The client sees the text
of a PredictionError, so it says what was wrong with the request, and never contains a path or an internal name.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from mlpatterns.error_codes import ErrorCode

__all__ = [
    "CircuitOpen", "Conflict", "DeadlineExceeded", "Denied", "ErrorCode", "InternalError", "InvalidInput",
    "MlpatternsError", "NotFound", "NotStarted", "Overloaded", "PredictionError", "RateLimited", "TooLarge",
    "Unavailable", "Unsupported", "error_for",
]  # fmt: skip


class MlpatternsError(Exception):
    """The base class: ``except MlpatternsError`` catches every error that this library raises on purpose."""


class NotStarted(MlpatternsError):
    """A predictor was used before it was started, or before the server that it calls has answered.

    Args:
        name: the name of the predictor.
        why: what it waits for, if that is known.

    Attributes:
        reason: the sentence that its health shows.
    """

    def __init__(self, name: str, why: str = "") -> None:
        super().__init__(f"{name!r} is not started; enter `running(predictor)` first, or wait until it is ready")
        self.reason = f"{name} cannot answer: {why}" if why else f"{name} cannot answer yet"


class PredictionError(MlpatternsError):
    """A request could not be answered.

    Args:
        message: one sentence for the client.
        retry_after: the seconds after which a retry may succeed, or None.
        stages: the pipeline stages that the error passed through, outermost first.

    Attributes:
        code: the reason, as an ErrorCode. Each subclass has its own.
        message: as given, without the stages; `str` shows both.
        retry_after: as given.
        stages: as given.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL

    def __init__(self, message: str, *, retry_after: float | None = None, stages: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.retry_after, self.stages = message, retry_after, stages

    def __str__(self) -> str:
        return f"stage {'/'.join(self.stages)!r}: {self.message}" if self.stages else self.message

    def within(self, stage: str) -> Self:
        """A copy of this error with `stage` in front of its stages."""
        return self._copy(stages=(stage, *self.stages))

    def about(self, part: str) -> Self:
        """A copy of this error whose sentence names `part` of the request: ``row 3 of 5: the image is damaged``."""
        return self._copy(message=f"{part}: {self.message}")

    def _copy(self, **changes: Any) -> Self:
        error = type(self).__new__(type(self), *self.args)  # bypasses __init__: a subclass may have other arguments
        error.__dict__.update(self.__dict__, **changes)
        return error


class InvalidInput(PredictionError):
    """The request is not what the model accepts, or it is malformed."""

    code = ErrorCode.INVALID


class NotFound(PredictionError):
    """No model, version, job or key has this name, or no rule matches the request."""

    code = ErrorCode.NOT_FOUND


class TooLarge(PredictionError):
    """The request, a file in it or the response has more bytes, elements or rows than the limit."""

    code = ErrorCode.TOO_LARGE


class Unsupported(PredictionError):
    """The server does not support the request, or not in this form."""

    code = ErrorCode.UNSUPPORTED


class Denied(PredictionError):
    """The caller is unknown, or has no permission."""

    code = ErrorCode.DENIED


class Conflict(PredictionError):
    """Another caller changed the same thing at the same time, or the name is already used."""

    code = ErrorCode.CONFLICT


class RateLimited(PredictionError):
    """The caller sent too many requests. `retry_after` says when to try again."""

    code = ErrorCode.RATE_LIMITED


class Overloaded(PredictionError):
    """Too many requests are running and waiting. `retry_after` says when to try again."""

    code = ErrorCode.OVERLOADED


class Unavailable(PredictionError):
    """The model, or something that it needs, does not answer now. It may answer later."""

    code = ErrorCode.UNAVAILABLE


class CircuitOpen(Unavailable):
    """A circuit breaker refused the request, so the model was not called.

    A Fallback answers instead, as for every fault. Circuit breakers do not count it, and a Retry does not repeat it.
    """


class DeadlineExceeded(PredictionError):
    """The deadline of the request passed before its answer was ready."""

    code = ErrorCode.DEADLINE

    def __init__(self, message: str = "the deadline passed before the answer was ready", **more: Any) -> None:
        super().__init__(message, **more)


class InternalError(PredictionError):
    """The server or a model has a fault.

    Args:
        message: one sentence for the client, without details.
        logged: whether the log already has the details.

    Attributes:
        logged: as given.
    """

    code = ErrorCode.INTERNAL

    def __init__(self, message: str, *, logged: bool = False, **more: Any) -> None:
        super().__init__(message, **more)
        self.logged = logged


# Without CircuitOpen: it has the code of Unavailable, so a client receives an Unavailable.
_BY_CODE: dict[ErrorCode, type[PredictionError]] = {kind.code: kind for kind in PredictionError.__subclasses__()}


def error_for(code: ErrorCode, message: str, *, retry_after: float | None = None) -> PredictionError:
    """The PredictionError that has this code. It turns the error of a remote server into an exception.

    Args:
        message: one sentence for the client.
        retry_after: the seconds after which a retry may succeed, or None.
    """
    return _BY_CODE[code](message, retry_after=retry_after)
