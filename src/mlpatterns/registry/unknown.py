"""Errors for models, versions and aliases that the registry does not have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from mlpatterns.references import RegisteredReference
from mlpatterns.user_errors import UnknownName

__all__ = ["TRAINED", "maker", "unknown", "unknown_model"]

# The models that trainings produce. Servers import this module but no trainings, so a test compares the two lists.
TRAINED = frozenset(
    {
        "cifar10",
        *(f"digits_{kind}" for kind in ("accurate", "fast", "high", "low")),
        *(f"iris_binary_{species}" for species in ("setosa", "versicolor", "virginica")),
        *(f"iris_sklearn_{kind}" for kind in ("outlier", "rf", "svc")),
    }
)


def maker(name: str) -> str:
    """The command that creates a version of a model."""
    return f"`mlpatterns train {name}`" if name in TRAINED else f"`mlpatterns registry import FILE.onnx --name {name}`"


def unknown_model(name: str, known: Iterable[str] = ()) -> UnknownName:
    """The error for a model that does not exist. It names the command that creates one."""
    return UnknownName("model", name, known, f"{maker(name)} makes it")


def unknown(
    reference: RegisteredReference,
    models: Collection[str],
    versions: Callable[[], Iterable[int]],
    aliases: Callable[[], Iterable[str]],
) -> UnknownName:
    """The error for a reference that cannot be resolved. It names the missing part, and the models or aliases that
    exist or the latest version."""
    name = reference.name
    if name not in models:
        return unknown_model(name, models)
    if reference.version is not None:
        latest = max(versions(), default=0)
        hint = f"its latest is {latest}" if latest else f"it has none; {maker(name)} makes one"
        return UnknownName("model version", str(reference), hint=hint)
    there = [f"{name}@{each}" for each in aliases()]
    return UnknownName("model alias", str(reference), there, "" if there else _first_alias(reference, versions()))


def _first_alias(reference: RegisteredReference, versions: Iterable[int]) -> str:
    """How to give a model its first alias. A model has no alias if none of its versions was fit to serve."""
    name, latest = reference.name, max(versions, default=0)
    if not latest:
        return f"{maker(name)} makes a version and its champion"
    return f"`mlpatterns registry alias {name}:{latest} {reference.alias}` lets it name the latest version"
