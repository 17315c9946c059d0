"""The errors that a user can correct. The command line prints their one sentence; `errors.py` shows the full tree."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from mlpatterns.errors import MlpatternsError

__all__ = [
    "AddressInUse", "ArtifactsDown", "CompositionError", "InvalidSpec", "MissingExtra", "ModelFileError",
    "NoModelFile", "NotOffered", "RegistryDown", "SettingsError", "TableError", "UnknownName", "UserError",
    "WrongUse",
]  # fmt: skip


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
