"""Who below a predictor has no identity, and what to do about it: what a cache must know before it keeps anything."""

from __future__ import annotations

from collections.abc import Iterator

from mlpatterns.errors import CompositionError, NotStarted
from mlpatterns.predictor import Predictor

__all__ = ["refuse_callers", "require_identity"]


def require_identity(piece: str, inner: Predictor) -> bool:
    """Whether `inner` has an identity; False if it may get one: a remote part has not answered yet.

    Call it once all below `piece` are started.

    Raises:
        CompositionError: there is none by composition, and the sentence says where to put `piece` instead.
    """
    refuse_callers(piece, inner)
    if inner.identity() is not None:
        return True
    for origin in _origins(inner):
        if _is_known(origin):
            raise CompositionError(_sentence(piece, inner, origin))
    return False


def refuse_callers(piece: str, inner: Predictor) -> None:
    """For what asks in a context of its own.

    Raises:
        CompositionError: who asks decides the answer of `inner`.
    """
    if inner.depends_on_caller:
        raise CompositionError(
            f"a {piece} around {inner.name!r} would give one caller the answer of another: who asks decides what it "
            f"answers; put the {piece} inside it"
        )


def _origins(predictor: Predictor) -> Iterator[Predictor]:
    """Those without an identity whose parts, if they have any, all have one: it is lost in them."""
    without = [child for child in predictor.children.values() if child.identity() is None]
    for child in without:
        yield from _origins(child)
    if not without:
        yield predictor


def _is_known(predictor: Predictor) -> bool:
    try:
        _ = predictor.metadata
    except NotStarted:
        return False
    return True


def _sentence(piece: str, inner: Predictor, origin: Predictor) -> str:
    what = repr(origin.name) if origin is inner else f"{origin.name!r} in {inner.name!r}"
    if not origin.children:
        return (
            f"a {piece} around {inner.name!r} could not tell when its answers change: {what} has no identity; "
            f"a PythonModel has one with digest=, a remote model if its server says one, else leave the {piece} away"
        )
    parts = ", ".join(repr(child.name) for child in origin.children.values())
    return (
        f"a {piece} around {inner.name!r} would mix answers up: {what} answers equal inputs differently, or does not "
        f"say what decides its answers (digest=); put the {piece} inside it, around {parts}"
    )
