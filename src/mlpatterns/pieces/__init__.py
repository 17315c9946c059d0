"""The pieces: each wraps predictors and is one. What they wrap comes first, then options by keyword.

`PIECES` is the one place where a piece is registered: the laws of composition (tests/contracts) and the drawings are
made of it. Their classes are names of `mlpatterns`, imported when they are first used: a server pays for those that it
is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import mlpatterns

if TYPE_CHECKING:
    from mlpatterns.predictor import Predictor


class Piece(NamedTuple):
    """One piece.

    Attributes:
        name: of its class, a public one of mlpatterns.
        example: from the class, a predictor inside and one more to the piece, which answers what the one inside does.
        drawn: as a box; as a box whose children are numbered, since their order counts; or as a border.
        detaches: it asks in a context of its own, since what it asks belongs to several callers.
        answers_later: with the id of a job that a worker does, alone or beside an answer.
        needs_identity: it refuses to start around what has no identity.
        by_caller: who asks decides what it answers, whatever is inside.
    """

    name: str
    example: Callable[[Any, Predictor, Predictor], Predictor]
    drawn: Literal["box", "numbered", "border"] = "box"
    detaches: bool = False
    answers_later: bool = False
    needs_identity: bool = False
    by_caller: bool = False


PIECES = (
    Piece("BatchJob", lambda kind, inner, _: kind(inner)),
    Piece("Batcher", lambda kind, inner, _: kind(inner), detaches=True),
    Piece("CircuitBreaker", lambda kind, inner, _: kind(inner)),
    Piece("DataCache", lambda kind, inner, _: kind(inner), detaches=True, needs_identity=True),
    Piece("Experiment", lambda kind, inner, _: kind(_split(inner), _metric(), log="memory://"), by_caller=True),
    Piece("Fallback", lambda kind, inner, _: kind(inner, inner), drawn="numbered"),
    Piece("FanOut", lambda kind, inner, _: kind({"left": inner, "right": inner})),
    Piece("JobQueue", lambda kind, inner, _: kind(inner), answers_later=True),
    Piece("Limit", lambda kind, inner, _: kind(inner, max_concurrency=2, max_queue=1000)),
    Piece("Monitor", lambda kind, inner, _: kind(inner, log="memory://")),
    Piece("OutlierCheck", lambda kind, inner, other: kind(inner, detector=other)),
    Piece("Pipeline", lambda kind, inner, other: kind(other, inner), drawn="numbered"),
    Piece("PredictionCache", lambda kind, inner, _: kind(inner), detaches=True, needs_identity=True),
    Piece("PredictionLog", lambda kind, inner, _: kind(inner, sink="memory://")),
    Piece("Retry", lambda kind, inner, _: kind(inner)),
    Piece("Route", lambda kind, inner, _: kind({"inner": inner}, rules=_rules(), default="inner"), by_caller=True),
    Piece("Service", lambda kind, inner, _: kind("service", inner), drawn="border"),
    Piece("Shadow", lambda kind, inner, other: kind(inner, other, sink="memory://")),
    Piece("Split", lambda kind, inner, _: kind({"inner": inner}), by_caller=True),
    Piece("SyncAsync", lambda kind, inner, other: kind(inner, other), answers_later=True),
    Piece("Thresholds", lambda kind, inner, _: kind({"low": inner}, primary_output="scores", labels=["low"])),
)


def _split(inner: Predictor) -> Predictor:
    return mlpatterns.Split({"inner": inner}, sticky_by="user-id")


def _metric() -> mlpatterns.Metric:
    return mlpatterns.Metric("converted")


def _rules() -> list[mlpatterns.Rule]:
    return [mlpatterns.Rule(to="inner", headers={"x-rule": "met"})]


def registered(predictor: object) -> Piece | None:
    """The entry of the class of `predictor`, or of one that it derives from; None if there is none."""
    for kind in type(predictor).__mro__:
        for piece in PIECES:
            if piece.name == kind.__name__ and getattr(mlpatterns, piece.name) is kind:
                return piece
    return None
