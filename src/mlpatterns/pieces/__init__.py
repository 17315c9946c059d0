"""The pieces: each wraps predictors and is one. What they wrap comes first, then options by keyword.

`PIECES` is the one place where a piece is registered: the public names, the laws of composition (tests/contracts) and
the drawings are made of it. Each is imported when it is first used: a server pays for those that it is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:  # for type checkers, which do not read the table; a test compares
    from mlpatterns.pieces.fan_out import FanOut as FanOut
    from mlpatterns.pieces.limit import Limit as Limit
    from mlpatterns.pieces.pipeline import Pipeline as Pipeline
    from mlpatterns.pieces.prediction_cache import PredictionCache as PredictionCache
    from mlpatterns.predictor import Predictor
    from mlpatterns.service import Service as Service


class Piece(NamedTuple):
    """One piece.

    Attributes:
        name: of its class.
        home: the module of mlpatterns where that is.
        example: from the class, a predictor inside and one more to the piece, which answers what the one inside does.
        drawn: as a box; as a box whose children are numbered, since their order counts; or as a border.
        detaches: it asks in a context of its own, since what it asks belongs to several callers.
        needs_identity: it refuses to start around what has no identity.
    """

    name: str
    home: str
    example: Callable[[Any, Predictor, Predictor], Predictor]
    drawn: Literal["box", "numbered", "border"] = "box"
    detaches: bool = False
    needs_identity: bool = False


PIECES = (
    Piece("FanOut", "pieces.fan_out", lambda kind, inner, _: kind({"left": inner, "right": inner})),
    Piece("Limit", "pieces.limit", lambda kind, inner, _: kind(inner, max_concurrency=2, max_queue=1000)),
    Piece("Pipeline", "pieces.pipeline", lambda kind, inner, other: kind(other, inner), drawn="numbered"),
    Piece(
        "PredictionCache", "pieces.prediction_cache", lambda kind, inner, _: kind(inner), detaches=True,
        needs_identity=True,
    ),
    Piece("Service", "service", lambda kind, inner, _: kind("service", inner), drawn="border"),
)  # fmt: skip
_HOMES = {piece.name: f"mlpatterns.{piece.home}" for piece in PIECES}
if not TYPE_CHECKING:
    __all__ = list(_HOMES)


def registered(predictor: object) -> Piece | None:
    """The entry of the class of `predictor`, or of one that it derives from; None if there is none."""
    for kind in type(predictor).__mro__:
        if _HOMES.get(kind.__name__) == kind.__module__:
            return next(piece for piece in PIECES if piece.name == kind.__name__)
    return None


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
