"""gRPC calls that stay open while their client likes, and the one that every server has: reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mlpatterns.errors import MissingExtra
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.server.grpc_call import GrpcAnswer, GrpcCall

try:
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health, health_pb2
    from grpc_reflection.v1alpha import reflection, reflection_pb2
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["REFLECTION", "Reflection", "Streams"]

REFLECTION: str = f"{reflection.SERVICE_NAME}/ServerReflectionInfo"
LONGEST_REFLECTION = 10.0  # seconds that a stream may stay open: it counts as a request that is being answered


class Streams:
    """The streams that are open: none may keep the server from stopping."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()
        self._closed = False

    @asynccontextmanager
    async def open(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Ends the body quietly when `seconds` have passed, or when the server stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._closed else seconds) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)

    def close(self) -> None:
        """Ends all of them, and those that are opened later."""
        self._closed = True
        for limit in self._limits:
            limit.reschedule(0.0)


class Reflection:
    """Describes the services to clients that know none of their messages, by the servicer of grpcio-reflection."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        pool = DescriptorPool()  # health's and reflection's own messages are in another, so all are copied to one
        for file in (messages.FILE, health_pb2.DESCRIPTOR.serialized_pb, reflection_pb2.DESCRIPTOR.serialized_pb):
            pool.AddSerializedFile(file)
        services = (messages.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        self._servicer = reflection.aio.ReflectionServicer(services, pool)

    async def info(self, call: GrpcCall) -> GrpcAnswer:
        """Answers each request of the stream."""
        async with self._streams.open(LONGEST_REFLECTION):
            requests = (_request(message) async for message in call.message)
            async for response in self._servicer.ServerReflectionInfo(requests, None):
                await call.write(response.SerializeToString())
        return GrpcAnswer(b"")


def _request(message: bytes) -> Any:
    """The request in `message`; what is none becomes an empty one, which the servicer refuses."""
    try:
        return reflection_pb2.ServerReflectionRequest.FromString(message)
    except messages.DecodeError:
        return reflection_pb2.ServerReflectionRequest()
