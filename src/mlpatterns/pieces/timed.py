"""Asking a predictor that has less time than the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mlpatterns.errors import DeadlineExceeded
from mlpatterns.interfaces import Clock
from mlpatterns.predictor import InferenceRequest, InferenceResponse

__all__ = ["ask_within"]


async def ask_within(
    ask: Callable[[InferenceRequest], Awaitable[InferenceResponse]],
    request: InferenceRequest,
    seconds: float | None,
    clock: Clock,
) -> InferenceResponse:
    """What `ask` answers, with a deadline `seconds` from now where the caller's is not earlier.

    Raises:
        DeadlineExceeded: it took longer; its work has ended.
        PredictionError: of `ask`.
    """
    if seconds is None:
        return await ask(request)
    deadline = clock.monotonic() + seconds
    if request.deadline is not None and request.deadline <= deadline:
        return await ask(request)
    asked = InferenceRequest(request.inputs, request.context, request.id, request.parameters, request.outputs, deadline)
    try:
        async with asyncio.timeout(seconds) as scope:
            return await ask(asked)
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceeded(f"the model did not answer within {seconds:g} s") from None
