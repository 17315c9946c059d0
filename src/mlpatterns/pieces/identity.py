"""The identity of a piece around several predictors, and what a cache checks before it relies on an identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache

from mlpatterns.errors import NotStarted
from mlpatterns.predictor import Predictor
from mlpatterns.user_errors import CompositionError

__all__ = ["combined_identity", "has_metadata", "refuse_callers", "require_identity"]


@lru_cache(maxsize=256)  # each answer needs it, and it stays the same until a model changes
def combined_identity(kind: str, *identities: str | None) -> str | None:
    """The SHA-256 of `kind` and all `identities`, in order, as hex; None if one of the identities is None."""
    if None in identities:
        return None
    return hashlib.sha256(json.dumps([kind, *identities]).encode()).hexdigest()


def require_identity(piece: str, inner: Predictor) -> bool:
    """Whether `inner` has an identity. False if it may still get one, because a remote part has not answered yet.

    Call it after everything below `piece` has started.

    Args:
        piece: the class name of the piece that needs the identity, for the error text.

    Raises:
        CompositionError: `inner` can never have an identity; the error text says where to put `piece` instead.
    """
    refuse_callers(piece, inner)
    if inner.identity() is not None:
        return True
    for origin in _origins(inner):
        if has_metadata(origin):
            raise CompositionError(_sentence(piece, inner, origin))
    return False


def refuse_callers(piece: str, inner: Predictor) -> None:
    """Checks that one call to `inner` may serve several callers.

    Raises:
        CompositionError: the answer of `inner` depends on the caller.
    """
    if inner.depends_on_caller:
        raise CompositionError(
            f"a {piece} around {inner.name!r} would give one caller the answer of another, since it depends on the "
            f"caller; put the {piece} inside it"
        )


def _origins(predictor: Predictor) -> Iterator[Predictor]:
    """The predictors that cause the lack of an identity: they have none, but all their children have one."""
    without = [child for child in predictor.children.values() if child.identity() is None]
    for child in without:
        yield from _origins(child)
    if not without:
        yield predictor


def has_metadata(predictor: Predictor) -> bool:
    """Whether `predictor` has metadata now; a JobQueue, for example, has none until a worker has reported it."""
    try:
        _ = predictor.metadata
    except NotStarted:
        return False
    return True


def _sentence(piece: str, inner: Predictor, origin: Predictor) -> str:
    what = repr(origin.name) if origin is inner else f"{origin.name!r} in {inner.name!r}"
    if not origin.children:
        return (
            f"a {piece} around {inner.name!r} cannot know when its answers change, since {what} has no identity; "
            f"give a PythonModel a digest=, let a remote server report an identity, or remove the {piece}"
        )
    parts = ", ".join(repr(child.name) for child in origin.children.values())
    return (
        f"a {piece} around {inner.name!r} would mix up answers, since {what} answers equal inputs differently, or "
        f"has no digest=; put the {piece} inside it, around {parts}"
    )
