"""What RemoteModel asks of a way to another server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mlpatterns.metadata import ModelMetadata
from mlpatterns.oip.client_codec import DecodedResponse
from mlpatterns.predictor import InferenceRequest

__all__ = ["LONGEST_SENTENCE", "Transport", "Unreached"]

LONGEST_SENTENCE = 500  # characters of another server's error that are passed on


class Unreached(Exception):
    """The server was not reached, or left before it had answered."""


class Transport(Protocol):
    """A way to one model on another server, for one event loop; whoever asks keeps the time."""

    async def describe(self, seconds: float) -> tuple[ModelMetadata, str | None]:
        """What the model is, and its identity.

        Raises:
            PredictionError: the server's refusal, or InternalError for an answer that is malformed.
            Unreached: there is no answer.
        """
        ...

    async def infer(
        self, request: InferenceRequest, metadata: ModelMetadata, headers: Mapping[str, str], seconds: float
    ) -> DecodedResponse:
        """What the model answers.

        Args:
            metadata: what the model takes.
            headers: that go along.
            seconds: in which the server must answer.

        Raises:
            PredictionError, Unreached: as `describe`; InvalidInput too, for what the model does not take.
        """
        ...

    async def close(self) -> None: ...
