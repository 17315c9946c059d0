"""Whether each part of a piece could answer now: what `/health/all` says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from mlpatterns.errors import NotStarted, PredictionError
from mlpatterns.predictor import Predictor

__all__ = ["PartHealth", "health_of"]


class PartHealth(Struct, frozen=True):
    """`ok`: the part has started, and what it needs elsewhere can be reached; else `ng`, the book's word."""

    health: Literal["ok", "ng"]


async def health_of(parts: Mapping[str, Predictor]) -> dict[str, PartHealth]:
    """The health of every part, asked all at once.

    A part is its predictors down to the leaves; those that depend on something elsewhere have a method `check`, which
    raises a PredictionError when that cannot be reached (`RemoteModel.check`).
    """
    answers = await asyncio.gather(*map(_could_answer, parts.values()))
    return {name: PartHealth("ok" if well else "ng") for name, well in zip(parts, answers, strict=True)}


async def _could_answer(part: Predictor) -> bool:
    try:
        _ = part.metadata
        for predictor in _below(part):
            check = getattr(predictor, "check", None)
            if check is not None:
                await check()
    except (NotStarted, PredictionError):
        return False
    return True


def _below(part: Predictor) -> Iterator[Predictor]:
    yield part
    for child in part.children.values():
        yield from _below(child)
