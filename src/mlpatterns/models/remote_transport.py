"""What RemoteModel asks of a way to another server, and which headers may go along on any of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from mlpatterns.errors import CompositionError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.oip.client_codec import DecodedResponse
from mlpatterns.predictor import InferenceRequest

__all__ = ["LONGEST_SENTENCE", "Transport", "Unreached", "allowed_headers"]

LONGEST_SENTENCE = 500  # characters of another server's error that are passed on

_CREDENTIAL = re.compile(r"authoriz|authentic|cookie|api[-_]?key|token|secret|passw|credential|session")
_OURS = {
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "inference-header-content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "x-request-timeout-ms",
}  # fmt: skip
_HEADER = re.compile(r"(?!grpc-)[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2; gRPC keeps names of its own


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


def allowed_headers(names: Iterable[str]) -> tuple[str, ...]:
    """The headers that may be forwarded, in lower case.

    Raises:
        CompositionError: one of them carries credentials, belongs to the connection, or is no header's name.
    """
    lowered = tuple(name.lower() for name in names)
    for name in lowered:
        if _CREDENTIAL.search(name):
            raise CompositionError(f"the header {name!r} may carry credentials, which are never forwarded")
        if name in _OURS or not _HEADER.fullmatch(name):
            raise CompositionError(f"the header {name!r} cannot be forwarded")
    return lowered
