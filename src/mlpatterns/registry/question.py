"""What an `Asker` and its child process say to each other. Light, because it is most of what the child imports."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from mlpatterns.errors import MissingExtra, RegistryDown, UnknownName, UserError

__all__ = ["TRAINED", "Failure", "Question", "maker", "unknown_alias", "unknown_model", "unknown_version"]

# The models that trainings make: these are not imported here, where servers are, so a test compares.
TRAINED = frozenset(
    {
        "cifar10",
        *(f"iris_binary_{species}" for species in ("setosa", "versicolor", "virginica")),
        *(f"iris_sklearn_{kind}" for kind in ("outlier", "rf", "svc")),
    }
)


class Question(Struct, frozen=True):
    """What the child is asked."""

    url: str
    name: str
    alias: str
    version: int | None


class Failure(Struct, frozen=True, tag="failed"):
    """Why there is no answer; `kind`, `name`, `known` and `hint` are the arguments of UnknownName, `extra` of
    MissingExtra, else `message` is the whole sentence, and `down` says that asking again may help."""

    message: str = ""
    kind: str = ""
    name: str = ""
    known: tuple[str, ...] = ()
    hint: str = ""
    extra: str = ""
    down: bool = False

    def error(self) -> UserError:
        """The exception that it stands for."""
        if self.extra:
            return MissingExtra(self.message, self.extra)
        if self.kind:
            return UnknownName(self.kind, self.name, self.known, self.hint)
        return RegistryDown(self.message) if self.down else UserError(self.message)


def maker(name: str) -> str:
    """The command that makes a version of a model."""
    return f"`mlpatterns train {name}`" if name in TRAINED else f"`mlpatterns registry import FILE.onnx --name {name}`"


def unknown_model(name: str, known: tuple[str, ...] = ()) -> Failure:
    """No such model, with the command that makes one."""
    return Failure(kind="model", name=name, known=known, hint=f"{maker(name)} makes it")


def unknown_version(name: str, version: int, known: Iterable[int]) -> Failure:
    """The model has no such version."""
    latest = max(known, default=0)
    hint = f"its latest is {latest}" if latest else f"it has none; {maker(name)} makes one"
    return Failure(kind="model version", name=f"{name}:{version}", hint=hint)


def unknown_alias(name: str, alias: str, known: Iterable[str]) -> Failure:
    """The model has no such alias."""
    there = tuple(f"{name}@{each}" for each in known)
    hint = "" if there else f"{maker(name)} makes a version and its champion"
    return Failure(kind="model alias", name=f"{name}@{alias}", known=there, hint=hint)
