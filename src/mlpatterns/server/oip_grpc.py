"""The Open Inference Protocol over gRPC: the six calls of `inference.GRPCInferenceService`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any

from msgspec.structs import replace

from mlpatterns import __version__
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.oip.codec import DecodedRequest
from mlpatterns.oip.grpc_codec import decode_request, encode_response
from mlpatterns.oip.grpc_description import encode_metadata
from mlpatterns.predictor import InferenceResponse
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.auth import Access
from mlpatterns.server.exchange import Buffers
from mlpatterns.server.grpc_call import GrpcAnswer, GrpcCall, GrpcHandler, parsed
from mlpatterns.server.health import HealthFace
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip_model import OFFLOAD_RAW_BYTES, OipModel, find_model, takes_numbers
from mlpatterns.server.simple_api import OFFLOAD_BYTES, provenance

__all__ = ["InferenceService"]


class InferenceService:
    """The six calls over the models of an app."""

    def __init__(self, models: Mapping[str, Hosted], runtime: AppRuntime, buffers: Buffers, health: HealthFace) -> None:
        self._models = {name: GrpcModel(model, runtime, buffers) for name, model in models.items()}
        self._runtime, self._health = runtime, health

    def calls(self) -> dict[str, tuple[GrpcHandler, Access]]:
        """Method -> (handler, what it needs)."""
        return {
            "ServerLive": (self.server_live, "open"),
            "ServerReady": (self.server_ready, "open"),
            "ServerMetadata": (self.server_metadata, "user"),
            "ModelReady": (self.model_ready, "user"),
            "ModelMetadata": (self.model_metadata, "user"),
            "ModelInfer": (self.model_infer, "user"),
        }

    async def server_live(self, call: GrpcCall) -> GrpcAnswer:
        return _answer(messages.ServerLiveResponse(live=True))

    async def server_ready(self, call: GrpcCall) -> GrpcAnswer:
        return _answer(messages.ServerReadyResponse(ready=not self._health.waiting()))

    async def server_metadata(self, call: GrpcCall) -> GrpcAnswer:
        return _answer(messages.ServerMetadataResponse(name="mlpatterns", version=__version__))

    async def model_ready(self, call: GrpcCall) -> GrpcAnswer:
        asked = parsed(messages.ModelReadyRequest, call.message)
        self._find(asked.name, asked.version)
        return _answer(messages.ModelReadyResponse(ready=True))

    async def model_metadata(self, call: GrpcCall) -> GrpcAnswer:
        asked = parsed(messages.ModelMetadataRequest, call.message)
        model = self._find(asked.name, asked.version)
        return _answer(encode_metadata(replace(model.described(), name=model.model.name), model.model.identity()))

    async def model_infer(self, call: GrpcCall) -> GrpcAnswer:
        call.heed()
        body, began = call.message, monotonic()
        if len(body) > OFFLOAD_BYTES:
            return await self._infer_large(body, call, began)
        asked = parsed(messages.ModelInferRequest, body)
        model = self._find(asked.model_name, asked.model_version)
        return await model.answer(
            decode_request(asked, model.described(), model.buffers.limits), call, began, asked.model_version
        )

    async def _infer_large(self, body: bytes, call: GrpcCall, began: float) -> GrpcAnswer:
        """Large messages are parsed and read in a thread, by the rule that REST has for bodies."""
        parse = partial(parsed, messages.ModelInferRequest, body)
        quick = len(body) <= OFFLOAD_RAW_BYTES
        asked = parse() if quick else await self._runtime.offload_codec(parse)
        model = self._find(asked.model_name, asked.model_version)
        described = model.described()
        decode = partial(decode_request, asked, described, model.buffers.limits)
        quick = quick and bool(asked.raw_input_contents) and takes_numbers(described)
        decoded = decode() if quick else await self._runtime.offload_codec(decode)
        return await model.answer(decoded, call, began, asked.model_version)

    def _find(self, name: str, version: str) -> GrpcModel:
        return find_model(self._models, name, version or None)


class GrpcModel(OipModel):
    """One model's answers."""

    async def answer(self, decoded: DecodedRequest, call: GrpcCall, began: float, version: str) -> GrpcAnswer:
        return await self.respond(decoded, call, began, version or None, partial(self._written, decoded, call))

    async def _written(self, decoded: DecodedRequest, call: GrpcCall, response: InferenceResponse) -> GrpcAnswer:
        encode = partial(encode_response, response, decoded.id, decoded.outputs)
        body = encode() if _is_quick(response) else await self.runtime.offload_codec(encode)
        return GrpcAnswer(body, provenance(response, call.context)[1:])


def _is_quick(response: InferenceResponse) -> bool:
    """Whether an answer is little enough to be written at once; strings are looked at one by one."""
    size, numbers = 0, True
    for array in response.outputs.values():
        size += array.nbytes
        numbers = numbers and array.dtype.kind != "O"
    return size <= (OFFLOAD_RAW_BYTES if numbers else OFFLOAD_BYTES)


def _answer(message: Any) -> GrpcAnswer:
    return GrpcAnswer(message.SerializeToString())
