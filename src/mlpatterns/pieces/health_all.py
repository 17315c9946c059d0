"""`health/all`: the health of each part of a piece, asked now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import NoneType
from typing import Literal

from msgspec import Struct

from mlpatterns.predictor import Caller, Operation, Predictor

__all__ = ["PartHealth", "health_all"]


class PartHealth(Struct, frozen=True):
    """`ok`: the part has started, and what it needs elsewhere can be reached; else `ng`, the book's word."""

    health: Literal["ok", "ng"]


def health_all(parts: Mapping[str, Predictor]) -> Operation:
    """The operation that tells of `parts`, by name."""

    async def health(_: None, caller: Caller) -> dict[str, PartHealth]:
        """The health of each part: `ok` if it could answer now, `ng` if not."""
        healths = await asyncio.gather(*[part.check() for part in parts.values()])
        return {name: PartHealth("ok" if each.ready else "ng") for name, each in zip(parts, healths, strict=True)}

    return Operation("health/all", "query", "public", NoneType, dict[str, PartHealth], health)
