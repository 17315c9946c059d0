"""The pieces: each wraps predictors and is one. What they wrap comes first, then options by keyword.

A piece registers itself with the decorator `piece` where it is defined. What registers it there serves all who treat
every piece alike: the drawings, the public names, and the laws of composition in `tests/contracts`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from mlpatterns.predictor import Predictor

__all__ = ["Piece", "all_pieces", "piece", "registered"]

K = TypeVar("K", bound=type[Any])

Example = Callable[["Predictor", "Predictor"], "Predictor"]
DiagramShape = Literal["box", "numbered", "border"]


class Piece(Struct, frozen=True):
    """What is known of one piece beside its class.

    Attributes:
        kind: its class, a public name of mlpatterns.
        example: builds the piece around its first argument, which answers; the second argument is one more predictor,
            for a piece that wraps two.
        diagram: as a box, as a box whose children are numbered since their order counts, or as a border.
        detaches: it calls what it wraps in a context of its own, since one call serves several callers.
        answers_later: it answers with the id of a job that a worker does, alone or beside an answer.
        needs_identity: it refuses to start around a predictor that has no identity.
        by_caller: its answer depends on the caller, whatever it wraps.
    """

    kind: type[Any]
    example: Example
    diagram: DiagramShape = "box"
    detaches: bool = False
    answers_later: bool = False
    needs_identity: bool = False
    by_caller: bool = False

    @property
    def name(self) -> str:
        return self.kind.__name__


_PIECES: dict[type[Any], Piece] = {}


def piece(
    example: Example,
    *,
    diagram: DiagramShape = "box",
    detaches: bool = False,
    answers_later: bool = False,
    needs_identity: bool = False,
    by_caller: bool = False,
) -> Callable[[K], K]:
    """Registers the class below it; `Piece` describes the arguments."""

    def register(kind: K) -> K:
        _PIECES[kind] = Piece(kind, example, diagram, detaches, answers_later, needs_identity, by_caller)
        return kind

    return register


def all_pieces() -> tuple[Piece, ...]:
    """Every registered piece by name; every module of this package is imported first."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
    return tuple(sorted(_PIECES.values(), key=lambda each: each.name))


def registered(predictor: object) -> Piece | None:
    """What is registered of the class of `predictor`, or of the nearest class that it derives from, if anything is."""
    return next((_PIECES[kind] for kind in type(predictor).__mro__ if kind in _PIECES), None)
