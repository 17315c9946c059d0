"""The rows of a DataCache: splits an answer into rows, joins rows, and prepares rows ahead of requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace

from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, NotStarted, Unavailable, Unsupported
from mlpatterns.ids import new_id
from mlpatterns.interfaces import Clock
from mlpatterns.pieces.calls import answers_later
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Predictor
from mlpatterns.tensors import unstack

__all__ = ["WarmRequest", "WarmResult", "joined", "split", "warm"]

MOST_KEYS = 1000
AT_ONCE = 16  # keys that are prepared together: bounds the rows in memory; the time is checked after each group

OWN_SHARE = 0.8  # the share of the request's time that a warm-up may use; the rest is for the answer

Key = Annotated[str, Meta(min_length=1, max_length=1024)]


def split(response: InferenceResponse, part: str, count: int) -> list[InferenceResponse]:
    """Splits the response of `part` into one response for each row; the tensors are views.

    Raises:
        InternalError: the response does not have `count` rows, or is the id of a job.
    """
    if response.status == "accepted":
        raise answers_later(part, "part")
    return [replace(response, outputs=outputs) for outputs in unstack(response.outputs, [1] * count)]


def joined(rows: Sequence[InferenceResponse]) -> InferenceResponse:
    """Joins responses of one row each, at least one, into one response, in their order."""
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


class WarmRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys whose rows the cache prepares."""

    keys: Annotated[list[Key], Meta(min_length=1, max_length=MOST_KEYS)]


class WarmResult(Struct, frozen=True):
    """The outcome of a warm-up; each key is counted once.

    Attributes:
        prepared: keys whose rows were prepared now.
        there: keys whose rows were in the cache already.
        failed: the error text by key.
        left: keys that were not done when the time of the request was over; send them again.
    """

    prepared: int
    there: int
    failed: dict[str, str]
    left: int


async def warm(
    keys: Sequence[str],
    loader: Predictor,
    outcomes: Callable[[InferenceRequest], Awaitable[list[str | Exception]]],
    caller: Caller,
    clock: Clock,
) -> WarmResult:
    """Prepares the rows of `keys` in groups, until most of the caller's time is used.

    Args:
        outcomes: prepares the rows of a request; returns the state of each row, ``hit`` if it was in the cache, or its
            error.

    Raises:
        Unsupported: `loader` does not take keys.
        Unavailable: `loader` is not ready yet.
    """
    try:
        inputs = loader.metadata.inputs
    except NotStarted:
        raise Unavailable("the loader is not ready yet", retry_after=1) from None
    if len(inputs) != 1 or inputs[0].datatype != "BYTES":
        raise Unsupported("only a cache whose loader takes keys can be warmed; this loader takes other inputs")
    spec, asked, found = inputs[0], list(dict.fromkeys(keys)), dict[str, str | Exception]()
    now = clock.monotonic()
    until = now + OWN_SHARE * (caller.deadline - now)
    for first in range(0, len(asked), AT_ONCE):
        if clock.monotonic() >= until:
            break
        some = asked[first : first + AT_ONCE]
        rows = np.array([key.encode() for key in some], dtype=object).reshape(len(some), *[1] * (len(spec.shape) - 1))
        context = Context(new_id(), principal=caller.principal, purpose="probe")
        request = InferenceRequest({spec.name: rows}, context, deadline=until if until < inf else None)
        told = dict(zip(some, await outcomes(request), strict=True))
        found |= {key: outcome for key, outcome in told.items() if not isinstance(outcome, DeadlineExceeded)}
    failed = {key: str(outcome) for key, outcome in found.items() if isinstance(outcome, Exception)}
    there = sum(outcome == "hit" for outcome in found.values())
    return WarmResult(len(found) - there - len(failed), there, failed, len(asked) - len(found))
