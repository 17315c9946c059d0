"""The gRPC transport of RemoteModel."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlpatterns.errors import DeadlineExceeded, InternalError, PredictionError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.models.remote.transport import LONGEST_SENTENCE, Unreached
from mlpatterns.oip.client_codec import DecodedResponse
from mlpatterns.oip.grpc_client_codec import decode_response, encode_request
from mlpatterns.oip.grpc_description import decode_metadata
from mlpatterns.oip.grpc_messages import SERVICE, DecodeError, ModelMetadataRequest, ModelMetadataResponse
from mlpatterns.oip.status import CODE_HEADER, PUSHBACK, code_for_grpc, refusal_of, seconds_to_push_back
from mlpatterns.predictor import InferenceRequest
from mlpatterns.user_errors import MissingExtra

try:
    import grpc
except ImportError as error:
    raise MissingExtra("a grpc:// URL", "grpc") from error

__all__ = ["GrpcTransport"]

# Status codes that the gRPC library sets itself if no server answers. They count as the server's answer only if they
# come with metadata.
_WITHOUT_SERVER = ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")
FIRST_RETRY, MOST_RETRY = 100, 5000  # milliseconds between attempts to connect again


class GrpcTransport:
    """A model over gRPC; see Transport.

    Args:
        url: `grpc://HOST:PORT`, or `grpcs://` for TLS.
        model: the name of the model on that server.
        name: the name of the model in error texts.
        connect_timeout: seconds to reach the server.
        max_bytes: the maximum size of one answer in bytes.
    """

    def __init__(self, url: str, model: str, name: str, connect_timeout: float, max_bytes: int) -> None:
        self._model, self._name, self._max_bytes = model, name, max_bytes
        scheme, _, target = url.partition("://")
        options = (
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.min_reconnect_backoff_ms", int(connect_timeout * 1000)),  # timeout of one attempt, not a back-off
            ("grpc.initial_reconnect_backoff_ms", FIRST_RETRY),
            ("grpc.max_reconnect_backoff_ms", MOST_RETRY),
            ("grpc.use_local_subchannel_pool", 1),  # a new channel shares no state with a closed one
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config_disable_resolution", 1),
        )
        if scheme == "grpcs":
            self._channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(_authorities()), options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options)
        self._describe, self._infer = (
            self._channel.unary_unary(f"/{SERVICE}/{method}") for method in ("ModelMetadata", "ModelInfer")
        )

    async def describe(self, seconds: float) -> tuple[ModelMetadata, str | None]:
        asked = ModelMetadataRequest(name=self._model).SerializeToString()
        answer = await self._call(self._describe, asked, (), seconds)
        try:
            return decode_metadata(ModelMetadataResponse.FromString(answer))
        except DecodeError:
            raise InternalError("the metadata of the remote model is malformed") from None

    async def infer(
        self, request: InferenceRequest, metadata: ModelMetadata, headers: Mapping[str, str], seconds: float
    ) -> DecodedResponse:
        body = encode_request(
            self._model, request.inputs, metadata.inputs, request.id, request.parameters, request.outputs
        )
        sent = tuple((name, value) for name, value in headers.items() if _is_metadata(name, value))
        return decode_response(await self._call(self._infer, body, sent, seconds))

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, method: Any, body: bytes, headers: tuple[tuple[str, str], ...], seconds: float) -> bytes:
        try:
            answer: bytes = await method(body, metadata=headers, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise self._error_of(error) from None
        except grpc.aio.UsageError as error:
            raise RuntimeError("the channel is closed") from error
        return answer

    def _error_of(self, error: Any) -> PredictionError | Unreached:
        metadata = dict(iter(error.trailing_metadata() or ()))  # as pairs, because `keys` of grpcio returns pairs too
        status, text = error.code().name, error.details() or ""
        if status in _WITHOUT_SERVER and not metadata:
            return DeadlineExceeded() if status == "DEADLINE_EXCEEDED" else Unreached(text)
        if status == "RESOURCE_EXHAUSTED" and "CLIENT: Received message larger" in text:
            return InternalError(
                f"the remote model's answer is larger than the {self._max_bytes} bytes that are accepted"
            )
        wait = seconds_to_push_back(metadata.get(PUSHBACK))
        sentence = text[:LONGEST_SENTENCE] or f"the remote model {self._name!r} answered gRPC {status}"
        code = metadata.get(CODE_HEADER)
        return refusal_of(code_for_grpc(status, wait, code), sentence, code, wait)


def _authorities() -> bytes | None:
    """The certificate authorities that `https://` trusts too, in PEM. None means gRPC's default list: if the machine
    has no list, or the environment sets one for gRPC."""
    if "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" in os.environ:
        return None
    trusted = ssl.get_default_verify_paths().cafile
    return Path(trusted).read_bytes() if trusted else None


def _is_metadata(name: str, value: str) -> bool:
    """Whether a header can be sent as gRPC metadata, which allows fewer characters in names and only ASCII values."""
    return (
        not name.endswith("-bin")
        and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        and (value.isascii())
    )
