"""The gRPC services with long-lived streams: health and reflection.

The messages of the health service are those of grpcio-health-checking. The servicer of that package stores a status.
`HealthService` reads the status from `HealthFace` each time, so that gRPC and HTTP always report the same status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from mlpatterns.errors import NotFound, PredictionError
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.oip.compression import decompress
from mlpatterns.server.grpc.call import STATUSES, GrpcAnswer, GrpcCall, compression_of, parse_message
from mlpatterns.server.health import HealthFace
from mlpatterns.user_errors import MissingExtra

try:
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health, health_pb2
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_reflection.v1alpha import reflection, reflection_pb2
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["HEALTH_SERVICE", "REFLECTION", "HealthService", "Reflection", "Streams"]

REFLECTION: str = f"{reflection.SERVICE_NAME}/ServerReflectionInfo"
HEALTH_SERVICE: str = health.SERVICE_NAME
POLL_SECONDS = 0.2  # between two reads of the status for a watching client
MOST_BYTES = 1024  # of a health request, which contains only the name of a service
SERVICES = ("", messages.SERVICE)
LONGEST_SILENCE = 10.0  # seconds within which a client must send its next message

T = TypeVar("T")


class Streams:
    """Limits the open streams of one method, and ends them when the server stops.

    Args:
        most: the most streams at the same time.
        full: the error text for one more stream. It continues a sentence that begins with the number `most`.

    Attributes:
        closed: whether the server stops.
    """

    def __init__(self, most: int, full: str) -> None:
        self._most, self._full = most, full
        self._open, self.closed = 0, False
        self._waits: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def one(self, rpc: Any) -> AsyncIterator[None]:
        """Counts a stream while it is open.

        Raises:
            grpc.aio.AbortError: there are too many streams. The call has been refused.
        """
        if self._open >= self._most:
            await rpc.abort(STATUSES["RESOURCE_EXHAUSTED"], f"{self._most} {self._full}")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def wait(self, work: Awaitable[T], seconds: float) -> T | None:
        """The result of `work`; None if it takes longer than `seconds`, or if the server stops before it ends.

        In both cases it cancels `work`. Do not pass a write: grpc.aio cannot end a call whose write was cancelled.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self.closed else seconds) as wait:
                self._waits.add(wait)
                try:
                    return await work
                finally:
                    self._waits.discard(wait)
        return None

    def close(self) -> None:
        """Ends every `wait` that runs now or begins later."""
        self.closed = True
        for wait in self._waits:
            wait.reschedule(0.0)


class HealthService:
    """`grpc.health.v1.Health`, for load balancers and Kubernetes. The status is SERVING while every predictor is ready
    and the server is not stopping."""

    def __init__(self, health: HealthFace) -> None:
        self._health = health
        self.streams = Streams(100, "watch already; ask with Check")

    async def check(self, call: GrpcCall) -> GrpcAnswer:
        service = parse_message(HealthCheckRequest, call.message).service
        if service not in SERVICES:
            raise NotFound(f"there is no service {service[:64]!r}; ask about {messages.SERVICE!r}, or about ''")
        return GrpcAnswer(self._response(service))

    async def watch(self, messages: Any, rpc: Any) -> None:
        """Sends the status now, and again whenever it changes."""
        async with self.streams.one(rpc):
            message = await self.streams.wait(anext(messages, None), LONGEST_SILENCE)
            if message is not None:
                await self._send_changes(_service(message), rpc)

    async def _send_changes(self, service: str, rpc: Any) -> None:
        sent = None
        while not self.streams.closed:
            response = self._response(service)
            if response != sent:
                await rpc.write(response)
                sent = response
            await self.streams.wait(asyncio.sleep(POLL_SECONDS), 2 * POLL_SECONDS)

    def _response(self, service: str) -> bytes:
        if service not in SERVICES:
            status = HealthCheckResponse.SERVICE_UNKNOWN
        else:
            status = HealthCheckResponse.NOT_SERVING if self._health.waiting() else HealthCheckResponse.SERVING
        body: bytes = HealthCheckResponse(status=status).SerializeToString()
        return body


def _service(message: bytes) -> str:
    """The name of the service in a health request. For a malformed request it returns a name that no service has."""
    try:
        plain = decompress(message, compression_of(message) or "identity", MOST_BYTES, MOST_BYTES)
        service: str = parse_message(HealthCheckRequest, plain).service
    except PredictionError:
        return "\0"
    return service


class Reflection:
    """Server reflection: the servicer of grpcio-reflection describes the services to clients without a .proto file."""

    def __init__(self) -> None:
        self.streams = Streams(20, "clients use reflection already; try again")
        pool = DescriptorPool()  # health and reflection are in another pool, so all files are copied into this one
        for file in (messages.FILE, health_pb2.DESCRIPTOR.serialized_pb, reflection_pb2.DESCRIPTOR.serialized_pb):
            pool.AddSerializedFile(file)
        services = (messages.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        self._servicer = reflection.aio.ReflectionServicer(services, pool)

    async def info(self, stream: Any, rpc: Any) -> None:
        """Answers each request of the stream."""
        async with self.streams.one(rpc):
            async for response in self._servicer.ServerReflectionInfo(self._requests(stream), None):
                await rpc.write(response.SerializeToString())

    async def _requests(self, stream: Any) -> AsyncIterator[Any]:
        while (message := await self.streams.wait(anext(stream, None), LONGEST_SILENCE)) is not None:
            yield _request(message)


def _request(message: bytes) -> Any:
    """The request in `message`. A malformed one becomes an empty request, which the servicer refuses."""
    try:
        return reflection_pb2.ServerReflectionRequest.FromString(message)
    except messages.DecodeError:
        return reflection_pb2.ServerReflectionRequest()
