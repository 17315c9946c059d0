"""Warming a cache: what is kept under a key is prepared ahead of the first who asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, NotStarted, Unavailable, Unsupported
from mlpatterns.ids import new_id
from mlpatterns.interfaces import Clock
from mlpatterns.predictor import Caller, InferenceRequest, Predictor

__all__ = ["Warmed", "Warming", "warm"]

MOST_KEYS = 1000
AT_ONCE = 16  # keys that are prepared together: what one call holds in memory, and how finely its time is watched

OWN_SHARE = 0.8  # of the time of its request; the rest is for saying how far it came

Key = Annotated[str, Meta(min_length=1, max_length=1024)]


class Warming(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys to prepare."""

    keys: Annotated[list[Key], Meta(min_length=1, max_length=MOST_KEYS)]


class Warmed(Struct, frozen=True):
    """What became of the keys, each counted once.

    Attributes:
        prepared: now; `there`: before.
        failed: why, by key.
        left: not tried, since the time of the request was over: send them again.
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
) -> Warmed:
    """Prepares `keys`, some at a time, until the caller's time is nearly over.

    Args:
        outcomes: how each row of a request was come by, ``hit`` if it was there, or why it could not be.

    Raises:
        Unsupported: `loader` takes something else than keys.
        Unavailable: it is not known yet.
    """
    try:
        inputs = loader.metadata.inputs
    except NotStarted:
        raise Unavailable("the loader is not ready yet", retry_after=1) from None
    if len(inputs) != 1 or inputs[0].datatype != "BYTES":
        raise Unsupported("only a cache of what is loaded by key can be warmed, and this one is asked something else")
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
    return Warmed(len(found) - there - len(failed), there, failed, len(asked) - len(found))
