"""The pieces: each one wraps one or more predictors and is a predictor itself.

A constructor takes the wrapped predictors first, then options as keyword arguments. The decorator `piece` registers
each class. Code that treats all pieces alike reads the registrations: the diagrams, the public names, and the tests of
composition in `tests/contracts`.
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
    """The registration of one piece: its class and its properties.

    Attributes:
        kind: its class, a public name of mlpatterns.
        example: builds an example of the piece. The first argument is the predictor that answers; the second is another
            predictor, for a piece that wraps two.
        diagram: how it is drawn: ``box``; ``numbered``, a box whose children have numbers because their order matters;
            or ``border``.
        detaches: it calls the wrapped predictor with a new context, because one call may serve several callers.
        answers_later: it answers with the id of a job that a worker runs, with or without an immediate result.
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
    """Registers the decorated class; `Piece` describes the arguments."""

    def register(kind: K) -> K:
        _PIECES[kind] = Piece(kind, example, diagram, detaches, answers_later, needs_identity, by_caller)
        return kind

    return register


def all_pieces() -> tuple[Piece, ...]:
    """Every registered piece, sorted by class name. Imports every module of this package first."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
    return tuple(sorted(_PIECES.values(), key=lambda each: each.name))


def registered(predictor: object) -> Piece | None:
    """The registration of the class of `predictor`, or of its nearest registered base class; None if there is none."""
    return next((_PIECES[kind] for kind in type(predictor).__mro__ if kind in _PIECES), None)
