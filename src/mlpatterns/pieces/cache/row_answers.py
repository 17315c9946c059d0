"""Answers of one row each: out of an answer of several rows, and put together again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from mlpatterns.pieces.parts import answers_later
from mlpatterns.predictor import InferenceResponse
from mlpatterns.tensors import unstack

__all__ = ["joined", "split"]


def split(response: InferenceResponse, part: str, count: int) -> list[InferenceResponse]:
    """The answer of each of `count` rows, its tensors views of those of `response`, which is that of `part`.

    Raises:
        InternalError: it is not of so many rows, or comes only later.
    """
    if response.status == "accepted":
        raise answers_later(part, "part")
    return [replace(response, outputs=outputs) for outputs in unstack(response.outputs, [1] * count)]


def joined(rows: Sequence[InferenceResponse]) -> InferenceResponse:
    """One answer of several, of which there is at least one, in their order."""
    first = rows[0]
    if len(rows) == 1:
        return first
    return replace(
        first,
        outputs={name: np.concatenate([row.outputs[name] for row in rows]) for name in first.outputs},
        model_version=",".join(dict.fromkeys(row.model_version for row in rows)),
        identity=first.identity if len({row.identity for row in rows}) == 1 else None,
        degraded=any(row.degraded for row in rows),
    )
