"""The Open Inference Protocol over REST, with JSON and binary tensors, as tritonclient and kserve use it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from time import monotonic
from typing import Any

from msgspec.structs import replace

from mlpatterns import __version__
from mlpatterns.metadata import ModelMetadata
from mlpatterns.oip.codec import DecodedRequest, decode_request, encode_response, parse_json_length
from mlpatterns.oip.compression import compress
from mlpatterns.oip.description import encode_metadata
from mlpatterns.predictor import InferenceResponse
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.exchange import Answer, Call, Handler, encode
from mlpatterns.server.health import HealthFace
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip.model import OFFLOAD_RAW_BYTES, OipModel, find_model, takes_numbers
from mlpatterns.server.routes import Routes
from mlpatterns.server.simple_api import OFFLOAD_BYTES, provenance

__all__ = ["add_oip"]

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics", "model_repository")
BINARY = (b"content-type", b"application/octet-stream")
JSON_LENGTH = b"inference-header-content-length"


def add_oip(
    routes: Routes, models: Mapping[str, Hosted], runtime: AppRuntime, buffers: Buffers, health: HealthFace
) -> None:
    """Adds `/v2`, `/v2/health` and the routes of the models below `/v2/models`, except those of `add_management`."""
    for path in ("/v2", "/v2/"):
        routes.add("GET", path, server_metadata)
    routes.add("GET", "/v2/health/live", health.live, access="open")
    routes.add("GET", "/v2/health/ready", health.ready, access="open")
    faces = {name: ModelFace(model, runtime, buffers) for name, model in models.items()}

    def found(handler: FaceHandler) -> Handler:
        """Makes a handler that looks up the model that the path names. The name never becomes a file path."""

        async def find(call: Call) -> Answer:
            path = call.context.path
            return await handler(faces[find_model(models, path["model"], path.get("version")).name], call)

        return find

    handlers = ("GET", "", ModelFace.metadata), ("GET", "/ready", ModelFace.ready), ("POST", "/infer", ModelFace.infer)
    for method, suffix, handler in handlers:
        for name, face in faces.items():
            routes.add(method, f"/v2/models/{name}{suffix}", partial(handler, face))
        for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes.add(method, base + suffix, found(handler))


async def server_metadata(call: Call) -> Answer:
    """The handler of `/v2`."""
    return Answer(encode({"name": "mlpatterns", "version": __version__, "extensions": EXTENSIONS}))


class ModelFace(OipModel):
    """The REST handlers of one model."""

    async def metadata(self, call: Call) -> Answer:
        return Answer(encode_metadata(replace(self.model.described(), name=self.model.name), self.model.identity()))

    async def ready(self, call: Call) -> Answer:
        self.model.described()
        return Answer(encode({"name": self.model.name, "ready": True}))

    async def infer(self, call: Call) -> Answer:
        described = self.model.describe(call.context)
        body = await self.buffers.read(call)
        began = monotonic()
        length = parse_json_length(call.headers.get(JSON_LENGTH))
        decode = partial(decode_request, body, length, described, self.buffers.limits)
        quick = len(body) <= OFFLOAD_BYTES or _is_raw(len(body), length, described)
        decoded = decode() if quick else await self.runtime.offload_codec(decode)
        version = call.context.path.get("version")
        return await self.respond(decoded, call, began, version, partial(self._answer, decoded, call))

    async def _answer(self, decoded: DecodedRequest, call: Call, response: InferenceResponse) -> Answer:
        accepts = call.headers.get(b"accept-encoding")
        raw = not accepts and all(
            decoded.binary.wants(name) and value.dtype.kind != "O" for name, value in response.outputs.items()
        )
        size = sum(value.nbytes for value in response.outputs.values())

        def work() -> tuple[bytes, int | None, str | None]:
            body, length = encode_response(response, decoded.id, decoded.binary, decoded.outputs)
            packed, encoding = compress(body, accepts.decode("latin-1")) if accepts else (body, None)
            return packed, length, encoding

        body, length, encoding = (
            work() if size <= (OFFLOAD_RAW_BYTES if raw else OFFLOAD_BYTES) else await self.runtime.offload_codec(work)
        )
        headers = provenance(response, call.context)
        if length is not None:
            headers = (BINARY, *headers[1:], (b"inference-header-content-length", b"%d" % length))
        if encoding is not None:
            headers = (*headers, (b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
        return Answer(body, headers)


FaceHandler = Callable[[ModelFace, Call], Coroutine[Any, Any, Answer]]


def _is_raw(size: int, json_length: int | None, described: ModelMetadata) -> bool:
    """Whether a body of `size` bytes is small enough to read on the event loop, because it is mostly raw numbers.
    Unlike strings, they are read without a loop over the elements."""
    if json_length is None or json_length > OFFLOAD_BYTES or size > OFFLOAD_RAW_BYTES:
        return False
    return takes_numbers(described)
