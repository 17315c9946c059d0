"""Every exception of mlpatterns.

    MlpatternsError
    ├── UserError                 the user can correct it; the command line prints its one sentence
    │   ├── WrongUse              a command, an option or an argument is invalid; exit status 2
    │   │   ├── SettingsError     a setting is unknown, malformed or unreadable
    │   │   ├── NotOffered        a pattern does not support the command, for example it has no server
    │   │   └── TableError        a file of rows cannot be read, or has the wrong form
    │   ├── UnknownName           no pattern, model, alias or version has this name; suggests the nearest
    │   ├── MissingExtra          an optional dependency is not installed; names the extra that brings it
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

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from mlpatterns.error_codes import ErrorCode

__all__ = [
    "AddressInUse", "ArtifactsDown", "CircuitOpen", "CompositionError", "Conflict", "DeadlineExceeded", "Denied",
    "ErrorCode", "InternalError", "InvalidInput", "InvalidSpec", "MissingExtra", "MlpatternsError", "ModelFileError",
    "NoModelFile", "NotFound", "NotOffered", "NotStarted", "Overloaded", "PredictionError", "RateLimited",
    "RegistryDown", "SettingsError", "TableError", "TooLarge", "Unavailable", "UnknownName", "Unsupported",
    "UserError", "WrongUse", "error_for",
]  # fmt: skip


class MlpatternsError(Exception):
    """The base class: ``except MlpatternsError`` catches every error that this library raises on purpose."""


class UserError(MlpatternsError):
    """The user can correct this. The text is one sentence that says what is wrong and what to do."""


class WrongUse(UserError):
    """A command, an option or an argument is invalid. The command line exits with status 2."""


class SettingsError(WrongUse):
    """A setting is unknown, malformed or unreadable."""


FEW, MANY = 8, 30  # the most names that the text lists after a suggestion, and without one


class UnknownName(UserError):
    """No pattern, model, alias or version has this name.

    Args:
        kind: the kind of thing that was looked up, e.g. ``"pattern"``.
        name: the name that the user wrote.
        known: all names that exist. The text suggests the nearest.
        hint: one more sentence, e.g. the command that creates the missing thing.

    Attributes:
        kind: as given.
        name: as given.
        near: the name that the text suggests, or None.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str] = (), hint: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        text = f"there is no {kind} {name!r}"
        if near:
            text += f"; did you mean {near[0]!r}?"
            if not hint and 1 < len(names) <= FEW:
                text += f" There is {', '.join(names)}"
        elif names and len(names) <= MANY:
            text += f"; there is {', '.join(names)}"
        super().__init__(f"{text}{' ' if text.endswith('?') else '; ' if hint else ''}{hint}".rstrip())
        self.kind, self.name, self.near = kind, name, near[0] if near else None


class NotOffered(WrongUse):
    """A pattern does not support the command, for example because it has no server or no demo."""


class MissingExtra(UserError):
    """An optional dependency is not installed. The text says how to install it.

    Args:
        what: the feature that needs the dependency.
        extra: the name of the extra, as in ``pip install 'mlpatterns[grpc]'``.

    Attributes:
        extra: as given.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'mlpatterns[{extra}]'")
        self.extra = extra


class ModelFileError(UserError):
    """A model file is corrupt, does not match its SHA-256, or is missing."""


class TableError(WrongUse):
    """A file of rows cannot be read, or has the wrong form."""


class NoModelFile(ModelFileError, WrongUse):
    """A command names a model file that does not exist."""


class RegistryDown(UserError):
    """The model registry does not answer. It may answer later."""


class ArtifactsDown(RegistryDown):
    """The registry answers, but the store of its model files does not. It may answer later."""


class CompositionError(UserError):
    """Pieces are combined in a way that cannot work. Raised when they are constructed or started."""


class InvalidSpec(CompositionError, ValueError):
    """A TensorSpec is invalid. It is also a ValueError, so that msgspec adds the position in the decoded document."""


class AddressInUse(UserError):
    """Another process listens on the port."""


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
        error = type(self).__new__(type(self), *self.args)  # not through __init__: a subclass may have its own
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
