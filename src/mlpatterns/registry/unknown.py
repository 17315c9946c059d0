"""What is said of a model, a version or an alias that the registry does not have."""

from __future__ import annotations

from collections.abc import Iterable

from mlpatterns.errors import UnknownName

__all__ = ["TRAINED", "maker", "unknown_alias", "unknown_model", "unknown_version"]

# The models that trainings make: these are not imported here, where servers are, so a test compares.
TRAINED = frozenset(
    {
        "cifar10",
        *(f"iris_binary_{species}" for species in ("setosa", "versicolor", "virginica")),
        *(f"iris_sklearn_{kind}" for kind in ("outlier", "rf", "svc")),
    }
)


def maker(name: str) -> str:
    """The command that makes a version of a model."""
    return f"`mlpatterns train {name}`" if name in TRAINED else f"`mlpatterns registry import FILE.onnx --name {name}`"


def unknown_model(name: str, known: Iterable[str] = ()) -> UnknownName:
    """There is no such model; the error names the command that makes one."""
    return UnknownName("model", name, known, f"{maker(name)} makes it")


def unknown_version(name: str, version: int, known: Iterable[int]) -> UnknownName:
    """The model has no such version."""
    latest = max(known, default=0)
    hint = f"its latest is {latest}" if latest else f"it has none; {maker(name)} makes one"
    return UnknownName("model version", f"{name}:{version}", hint=hint)


def unknown_alias(name: str, alias: str, known: Iterable[str]) -> UnknownName:
    """The model has no such alias."""
    there = [f"{name}@{each}" for each in known]
    hint = "" if there else f"{maker(name)} makes a version and its champion"
    return UnknownName("model alias", f"{name}@{alias}", there, hint)
