"""The Open Inference Protocol over gRPC: the calls of `inference.GRPCInferenceService`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any

from google.protobuf.json_format import ParseDict
from msgspec.structs import asdict, replace

from mlpatterns import __version__
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.oip.codec import DecodedRequest
from mlpatterns.oip.grpc_codec import decode_request, encode_response
from mlpatterns.oip.grpc_description import encode_metadata
from mlpatterns.predictor import InferenceResponse
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.auth import Access
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.grpc.call import GrpcAnswer, GrpcCall, GrpcHandler, parse_message
from mlpatterns.server.health import HealthFace
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip.management import Management
from mlpatterns.server.oip.model import OFFLOAD_RAW_BYTES, OipModel, find_model, named_model, takes_numbers
from mlpatterns.server.simple_api import OFFLOAD_BYTES, provenance

__all__ = ["InferenceService"]


class InferenceService:
    """The six calls of the protocol for the models of an app, and Triton's calls to manage them."""

    def __init__(
        self,
        models: Mapping[str, Hosted],
        runtime: AppRuntime,
        buffers: Buffers,
        health: HealthFace,
        management: Management,
    ) -> None:
        self._hosted = models
        self._models = {name: GrpcModel(model, runtime, buffers) for name, model in models.items()}
        self._runtime, self._health, self._management = runtime, health, management

    def calls(self) -> dict[str, tuple[GrpcHandler, Access]]:
        """Method -> (handler, the access that a caller needs)."""
        return {
            "ServerLive": (self.server_live, "open"),
            "ServerReady": (self.server_ready, "open"),
            "ServerMetadata": (self.server_metadata, "user"),
            "ModelReady": (self.model_ready, "user"),
            "ModelMetadata": (self.model_metadata, "user"),
            "ModelInfer": (self.model_infer, "user"),
            "ModelConfig": (self.model_config, "user"),
            "ModelStatistics": (self.model_statistics, "user"),
            "RepositoryIndex": (self.repository_index, "user"),
            "RepositoryModelLoad": (self.load, "token"),
            "RepositoryModelUnload": (self.unload, "token"),
        }

    async def server_live(self, call: GrpcCall) -> GrpcAnswer:
        return _answer(messages.ServerLiveResponse(live=True))

    async def server_ready(self, call: GrpcCall) -> GrpcAnswer:
        return _answer(messages.ServerReadyResponse(ready=not self._health.waiting()))

    async def server_metadata(self, call: GrpcCall) -> GrpcAnswer:
        return _answer(messages.ServerMetadataResponse(name="mlpatterns", version=__version__))

    async def model_ready(self, call: GrpcCall) -> GrpcAnswer:
        request = parse_message(messages.ModelReadyRequest, call.message)
        ready = named_model(self._hosted, request.name).known is not None
        if ready:
            find_model(self._hosted, request.name, request.version or None)
        return _answer(messages.ModelReadyResponse(ready=ready))

    async def model_metadata(self, call: GrpcCall) -> GrpcAnswer:
        request = parse_message(messages.ModelMetadataRequest, call.message)
        model = find_model(self._hosted, request.name, request.version or None)
        return _answer(encode_metadata(replace(model.described(), name=model.name), model.identity()))

    async def model_infer(self, call: GrpcCall) -> GrpcAnswer:
        call.apply_client_deadline()
        body, began = call.message, monotonic()
        if len(body) > OFFLOAD_BYTES:
            return await self._infer_large(body, call, began)
        request = parse_message(messages.ModelInferRequest, body)
        model = self._find(request.model_name, request.model_version)
        return await model.answer(
            decode_request(request, model.model.describe(call.context), model.buffers.limits),
            call,
            began,
            request.model_version,
        )

    async def _infer_large(self, body: bytes, call: GrpcCall, began: float) -> GrpcAnswer:
        """Answers a large message. A thread parses and decodes it if that would block the event loop for too long. The
        sizes at which it uses a thread are those of REST."""
        parse = partial(parse_message, messages.ModelInferRequest, body)
        quick = len(body) <= OFFLOAD_RAW_BYTES
        request = parse() if quick else await self._runtime.offload_codec(parse)
        model = self._find(request.model_name, request.model_version)
        described = model.model.describe(call.context)
        decode = partial(decode_request, request, described, model.buffers.limits)
        quick = quick and bool(request.raw_input_contents) and takes_numbers(described)
        decoded = decode() if quick else await self._runtime.offload_codec(decode)
        return await model.answer(decoded, call, began, request.model_version)

    # ---- Triton's calls ----

    async def model_config(self, call: GrpcCall) -> GrpcAnswer:
        request = parse_message(messages.ModelConfigRequest, call.message)
        config = self._management.config(request.name, request.version or None)
        return _answer(ParseDict({"config": config}, messages.ModelConfigResponse()))

    async def model_statistics(self, call: GrpcCall) -> GrpcAnswer:
        request = parse_message(messages.ModelStatisticsRequest, call.message)
        statistics = self._management.statistics(request.name or None, request.version or None)
        return _answer(ParseDict(statistics, messages.ModelStatisticsResponse()))

    async def repository_index(self, call: GrpcCall) -> GrpcAnswer:
        request = parse_message(messages.RepositoryIndexRequest, call.message)
        models = [asdict(entry) for entry in self._management.index(ready=request.ready)]
        return _answer(messages.RepositoryIndexResponse(models=models))

    async def load(self, call: GrpcCall) -> GrpcAnswer:
        request = parse_message(messages.RepositoryModelLoadRequest, call.message)
        await self._management.load(request.model_name, request.parameters)
        return _answer(messages.RepositoryModelLoadResponse())

    async def unload(self, call: GrpcCall) -> GrpcAnswer:
        request = parse_message(messages.RepositoryModelUnloadRequest, call.message)
        await self._management.repository.unload(request.model_name)
        return _answer(messages.RepositoryModelUnloadResponse())

    def _find(self, name: str, version: str) -> GrpcModel:
        return self._models[find_model(self._hosted, name, version or None).name]


class GrpcModel(OipModel):
    """Answers the inference calls of one model."""

    async def answer(self, decoded: DecodedRequest, call: GrpcCall, began: float, version: str) -> GrpcAnswer:
        return await self.respond(decoded, call, began, version or None, partial(self._encoded, decoded, call))

    async def _encoded(self, decoded: DecodedRequest, call: GrpcCall, response: InferenceResponse) -> GrpcAnswer:
        encode = partial(encode_response, response, decoded.id, decoded.outputs)
        body = encode() if _is_quick(response) else await self.runtime.offload_codec(encode)
        return GrpcAnswer(body, provenance(response, call.context)[1:])


def _is_quick(response: InferenceResponse) -> bool:
    """Whether an answer is small enough to encode on the event loop. The limit is lower if there are strings, because
    they are encoded one by one."""
    size, numbers = 0, True
    for array in response.outputs.values():
        size += array.nbytes
        numbers = numbers and array.dtype.kind != "O"
    return size <= (OFFLOAD_RAW_BYTES if numbers else OFFLOAD_BYTES)


def _answer(message: Any) -> GrpcAnswer:
    return GrpcAnswer(message.SerializeToString())
