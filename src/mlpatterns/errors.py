"""Every exception of mlpatterns.

    MlpatternsError
    ├── UserError                 what the person at the keyboard can mend: the CLI prints one sentence
    │   ├── WrongUse              the words of a command, an option or an argument cannot be meant: exit code 2
    │   │   ├── SettingsError     a setting is unknown, malformed or unreadable
    │   │   ├── NotOffered        a system of the catalogue does not offer what was asked of it
    │   │   └── TableError        a file of rows cannot be read, or is no table
    │   ├── UnknownName           no such pattern, model, alias, version or file; carries a suggestion
    │   ├── MissingExtra          an optional dependency is not installed; names the extra
    │   ├── ModelFileError        a model file is corrupt, or not what its digest says
    │   │   └── NoModelFile       there is none where a command says (a WrongUse too)
    │   ├── RegistryDown          the registry does not answer; it may do so later
    │   │   └── ArtifactsDown     it does, but where the files of its models are does not
    │   ├── CompositionError      pieces put together in a way that cannot work
    │   │   └── InvalidSpec       a TensorSpec that describes no tensor
    │   └── AddressInUse          the port is taken
    ├── NotStarted                a predictor was asked for what exists only after start
    └── PredictionError           a request could not be answered; carries an ErrorCode
        ├── InvalidInput          INVALID
        ├── NotFound              NOT_FOUND
        ├── TooLarge              TOO_LARGE
        ├── Unsupported           UNSUPPORTED
        ├── Denied                DENIED
        ├── Conflict              CONFLICT
        ├── RateLimited           RATE_LIMITED     (retry_after)
        ├── Overloaded            OVERLOADED       (retry_after)
        ├── Unavailable           UNAVAILABLE      (retry_after)
        │   └── CircuitOpen       a circuit breaker refused it: the model was not asked
        ├── DeadlineExceeded      DEADLINE
        └── InternalError         INTERNAL

Codes know nothing of a transport; ``oip/status.py`` maps them to HTTP and gRPC. The text of a
PredictionError goes to the client: it says what was wrong with the input, never a path or an internal name.
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
    """The root: ``except MlpatternsError`` catches all that this library raises on purpose."""


class UserError(MlpatternsError):
    """Something the user can mend; its text is one sentence that says what to do."""


class WrongUse(UserError):
    """The words of a command, an option or an argument cannot be meant."""


class SettingsError(WrongUse):
    """A setting is unknown, malformed or unreadable."""


FEW, MANY = 8, 30  # names that are listed beside a guess, and without one


class UnknownName(UserError):
    """No such pattern, model, alias or version.

    Args:
        kind: what was looked for, e.g. ``"pattern"``.
        name: what the user wrote.
        known: the names there are; the nearest is suggested.
        hint: one more sentence, e.g. the command that makes what is missing.
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
    """A system of the catalogue does not offer what was asked of it."""


class MissingExtra(UserError):
    """An optional dependency is not installed; the text names the extra that brings it.

    Args:
        what: needs it.
        extra: of the package, as in ``pip install 'mlpatterns[grpc]'``.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'mlpatterns[{extra}]'")
        self.extra = extra


class ModelFileError(UserError):
    """A model file is missing, corrupt, or does not match its SHA-256."""


class TableError(WrongUse):
    """A file of rows cannot be read, or is not the table that it should be."""


class NoModelFile(ModelFileError, WrongUse):
    """There is no model file where a command says."""


class RegistryDown(UserError):
    """The registry does not answer; it may do so later."""


class ArtifactsDown(RegistryDown):
    """Where the files of registered models are does not answer; it may do so later."""


class CompositionError(UserError):
    """Pieces were put together in a way that cannot work; raised at construction or at start."""


class InvalidSpec(CompositionError, ValueError):
    """A TensorSpec describes no tensor. A ValueError too, so that what decodes one says where it stands."""


class AddressInUse(UserError):
    """The port to listen on is taken."""


class NotStarted(MlpatternsError):
    """The predictor has no metadata yet: it was not started, or what it talks to has not answered."""

    def __init__(self, name: str, why: str = "") -> None:
        super().__init__(f"{name!r} is not started; enter `running(predictor)` first, or wait until it is ready")
        self.reason = f"{name} cannot answer: {why}" if why else f"{name} cannot answer yet"  # as its health says


class PredictionError(MlpatternsError):
    """A request could not be answered.

    Attributes:
        code: why, as an ErrorCode.
        message: one sentence for the client.
        stages: the stages of pipelines it came through, outermost first.
        retry_after: seconds after which trying again may help, or None.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL

    def __init__(self, message: str, *, retry_after: float | None = None, stages: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.retry_after, self.stages = message, retry_after, stages

    def __str__(self) -> str:
        return f"stage {'/'.join(self.stages)!r}: {self.message}" if self.stages else self.message

    def within(self, stage: str) -> Self:
        """The same error, said to come from `stage` of a pipeline."""
        return self._copy(stages=(stage, *self.stages))

    def about(self, part: str) -> Self:
        """The same error, its sentence said of `part` of the request: ``row 3 of 5: the image is damaged``."""
        return self._copy(message=f"{part}: {self.message}")

    def _copy(self, **changes: Any) -> Self:
        error = type(self).__new__(type(self), *self.args)  # not through __init__: a subclass may have its own
        error.__dict__.update(self.__dict__, **changes)
        return error


class InvalidInput(PredictionError):
    code = ErrorCode.INVALID


class NotFound(PredictionError):
    code = ErrorCode.NOT_FOUND


class TooLarge(PredictionError):
    code = ErrorCode.TOO_LARGE


class Unsupported(PredictionError):
    code = ErrorCode.UNSUPPORTED


class Denied(PredictionError):
    code = ErrorCode.DENIED


class Conflict(PredictionError):
    code = ErrorCode.CONFLICT


class RateLimited(PredictionError):
    code = ErrorCode.RATE_LIMITED


class Overloaded(PredictionError):
    code = ErrorCode.OVERLOADED


class Unavailable(PredictionError):
    code = ErrorCode.UNAVAILABLE


class CircuitOpen(Unavailable):
    """A circuit breaker refused the request, so the model was not asked.

    Who has another answer gives it, as for every fault; who counts faults or repeats requests leaves this one alone.
    """


class DeadlineExceeded(PredictionError):
    code = ErrorCode.DEADLINE

    def __init__(self, message: str = "the deadline passed before the answer was ready", **more: Any) -> None:
        super().__init__(message, **more)


class InternalError(PredictionError):
    """The server or a model is at fault. `logged` says that the log has told already what happened."""

    code = ErrorCode.INTERNAL

    def __init__(self, message: str, *, logged: bool = False, **more: Any) -> None:
        super().__init__(message, **more)
        self.logged = logged


# CircuitOpen is not among them: it is an Unavailable, and so it arrives.
_BY_CODE: dict[ErrorCode, type[PredictionError]] = {kind.code: kind for kind in PredictionError.__subclasses__()}


def error_for(code: ErrorCode, message: str, *, retry_after: float | None = None) -> PredictionError:
    """The PredictionError of `code`: how a remote server's error becomes one of ours."""
    return _BY_CODE[code](message, retry_after=retry_after)
