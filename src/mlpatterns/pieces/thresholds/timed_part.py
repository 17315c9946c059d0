"""A part of Thresholds as one request calls it."""

from __future__ import annotations

from mlpatterns.interfaces import Clock
from mlpatterns.pieces.calls import ask_within
from mlpatterns.pieces.retry import Repeater
from mlpatterns.pieces.thresholds.parameters import Parameters
from mlpatterns.predictor import InferenceRequest, InferenceResponse

__all__ = ["TimedPart"]


class TimedPart:
    """Calls a part with the timeout and the retries of the parameters of one request."""

    def __init__(self, repeater: Repeater, values: Parameters, clock: Clock) -> None:
        self._repeater, self._values, self._clock = repeater, values, clock

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await ask_within(self._ask, request, self._values.timeout, self._clock)

    async def _ask(self, request: InferenceRequest) -> InferenceResponse:
        return await self._repeater.ask(request, self._values.retries)
