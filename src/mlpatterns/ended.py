"""Why work ended: what circuit breakers, logs and statistics make of an error."""

from __future__ import annotations

import asyncio
from typing import Literal

from mlpatterns.errors import ErrorCode, NotStarted, PredictionError
from mlpatterns.interfaces import Clock
from mlpatterns.predictor import InferenceRequest

__all__ = ["CLIENT_LEFT", "ended"]

CLIENT_LEFT: Literal["CLIENT_LEFT"] = "CLIENT_LEFT"
EARLY = 0.02  # seconds: a client's own clock may end a call of gRPC a little before ours would


def ended(error: BaseException, request: InferenceRequest, clock: Clock) -> ErrorCode | Literal["CLIENT_LEFT"]:
    """The code of an error; of a cancellation, whether the deadline of the request had passed or its client left."""
    if isinstance(error, PredictionError):
        return error.code
    if isinstance(error, NotStarted):
        return ErrorCode.UNAVAILABLE
    if not isinstance(error, asyncio.CancelledError):
        return ErrorCode.INTERNAL
    if request.deadline is not None and clock.monotonic() >= request.deadline - EARLY:
        return ErrorCode.DEADLINE
    return CLIENT_LEFT
