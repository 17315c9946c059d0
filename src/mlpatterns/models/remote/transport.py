"""How a remote model is reached: its URL, which is checked at construction, and what is asked of a way to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import SplitResult, quote, unquote, urlsplit

from mlpatterns.metadata import ModelMetadata
from mlpatterns.oip.client_codec import DecodedResponse
from mlpatterns.predictor import InferenceRequest
from mlpatterns.user_errors import CompositionError

__all__ = ["LONGEST_SENTENCE", "Transport", "Unreached", "grpc_url", "is_grpc", "model_url"]

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


_MODEL_PATH = re.compile(r"(?P<model>.*/v2/models/(?P<name>[^/]+)(?:/versions/[^/]+)?)")


def is_grpc(url: str) -> bool:
    """Whether `url` is of a gRPC server."""
    return url.startswith(("grpc://", "grpcs://"))


def grpc_url(url: str, model: str | None, name: str | None) -> tuple[str, str]:
    """`url` and the name of a model on the gRPC server there.

    Raises:
        CompositionError: `url` is not `grpc://HOST:PORT`, or no model is named.
    """
    parts = _split(url, ("grpc", "grpcs"), "grpc://HOST:PORT")
    if parts.port is None or parts.path.strip("/"):
        raise CompositionError(f"a remote model's URL over gRPC must be grpc://HOST:PORT, not {url!r}")
    wanted = model or name
    if not wanted:
        raise CompositionError("say which model: RemoteModel(url, 'NAME')")
    return f"{parts.scheme}://{parts.netloc}", wanted


def model_url(url: str, model: str | None, name: str | None) -> tuple[str, str]:
    """The URL of a model and its name, from a base, or from a whole `…/v2/models/NAME[/versions/V]`.

    Raises:
        CompositionError: `url` is no such URL, holds credentials, or no model is named.
    """
    parts = _split(url, ("http", "https"), "http://HOST[:PORT][/PREFIX] or grpc://HOST:PORT")
    whole = _MODEL_PATH.fullmatch(parts.path.rstrip("/"))
    if whole:
        found = unquote(whole["name"])
        if model not in (None, found):
            raise CompositionError(f"the URL is of the model {found!r}, not {model!r}; name it once")
        return f"{parts.scheme}://{parts.netloc}{whole['model']}", found
    wanted = model or name
    if not wanted:
        raise CompositionError("say which model: RemoteModel(url, 'NAME'), or a URL that ends in /v2/models/NAME")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v2')}"
    return f"{base}/v2/models/{quote(wanted, safe='')}", wanted


def _split(url: str, schemes: tuple[str, ...], form: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise CompositionError(f"a remote model's URL must be {form}, not {url.split('@')[-1]!r}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise CompositionError("a remote model's URL must hold no credentials, no ? and no #")
    return parts
