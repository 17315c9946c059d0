"""Asking a predictor that has less time than the caller."""

from __future__ import annotations

import asyncio

from mlpatterns.errors import DeadlineExceeded
from mlpatterns.interfaces import Clock
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor

__all__ = ["ask_within"]


async def ask_within(
    predictor: Predictor, request: InferenceRequest, seconds: float | None, clock: Clock
) -> InferenceResponse:
    """What it answers, with a deadline `seconds` from now where the caller's is not earlier.

    Raises:
        DeadlineExceeded: it took longer; its work has ended.
        PredictionError: of the predictor.
    """
    if seconds is None:
        return await predictor.predict(request)
    deadline = clock.monotonic() + seconds
    if request.deadline is not None and request.deadline <= deadline:
        return await predictor.predict(request)
    asked = InferenceRequest(
        request.inputs, request.context, request.id, request.parameters, request.outputs, deadline
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds) as scope:
            return await predictor.predict(asked)
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceeded(f"the model did not answer within {seconds:g} s") from None
