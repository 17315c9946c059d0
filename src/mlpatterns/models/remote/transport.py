"""The protocol of a transport to a remote model, and the checks of its URL."""

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

LONGEST_SENTENCE = 500  # characters of another server's error text that the client gets


class Unreached(Exception):
    """The server was not reached, or the connection broke before the answer."""


class Transport(Protocol):
    """A connection to one model on another server, for one event loop. The caller enforces the timeout."""

    async def describe(self, seconds: float) -> tuple[ModelMetadata, str | None]:
        """The metadata of the model, and its identity.

        Raises:
            PredictionError: the server returned an error, or its answer is malformed (InternalError).
            Unreached: the server did not answer.
        """
        ...

    async def infer(
        self, request: InferenceRequest, metadata: ModelMetadata, headers: Mapping[str, str], seconds: float
    ) -> DecodedResponse:
        """The answer of the model.

        Args:
            metadata: the metadata of the model, which declares the inputs.
            headers: the headers to send with the request.
            seconds: the time limit for the answer.

        Raises:
            PredictionError: as `describe`; InvalidInput if the inputs do not fit the model.
            Unreached: the server did not answer.
        """
        ...

    async def close(self) -> None: ...


_MODEL_PATH = re.compile(r"(?P<model>.*/v2/models/(?P<name>[^/]+)(?:/versions/[^/]+)?)")


def is_grpc(url: str) -> bool:
    """Whether `url` is the URL of a gRPC server."""
    return url.startswith(("grpc://", "grpcs://"))


def grpc_url(url: str, model: str | None, name: str | None) -> tuple[str, str]:
    """The URL of a gRPC server, and the name of the model on it: `model`, else `name`.

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
    """The URL of a model and its name, from a base URL, or from the full URL `…/v2/models/NAME[/versions/V]`.

    Raises:
        CompositionError: `url` is not a valid URL, contains credentials, a query or a fragment, or names another model
            than `model`; or no model is named.
    """
    parts = _split(url, ("http", "https"), "http://HOST[:PORT][/PREFIX] or grpc://HOST:PORT")
    whole = _MODEL_PATH.fullmatch(parts.path.rstrip("/"))
    if whole:
        found = unquote(whole["name"])
        if model not in (None, found):
            raise CompositionError(f"the URL names the model {found!r}, not {model!r}; name the model once")
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
