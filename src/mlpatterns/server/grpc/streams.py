"""gRPC calls that stay open while their client likes, and the services that have them: health and reflection.

The messages of health are those of grpcio-health-checking. Its servicer keeps a status until it is told another one;
this one asks `HealthFace` whenever it is asked, so that both faces always say the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from mlpatterns.errors import MissingExtra, NotFound, PredictionError
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.oip.compression import decompress
from mlpatterns.server.grpc.call import STATUSES, GrpcAnswer, GrpcCall, packing, parsed
from mlpatterns.server.health import HealthFace

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
LOOK = 0.2  # seconds between looks at what a watcher wants to know
MOST_BYTES = 1024  # of a request for health, which has a name
KNOWN = ("", messages.SERVICE)
LONGEST_SILENCE = 10.0  # seconds that a client may take for its next request

T = TypeVar("T")


class Streams:
    """The open streams of one method: bounded in number, and none may keep the server from stopping.

    Args:
        most: at once: each costs something for as long as its client likes.
        full: what the next one is told after that number.

    Attributes:
        closed: the server stops.
    """

    def __init__(self, most: int, full: str) -> None:
        self._most, self._full = most, full
        self._open, self.closed = 0, False
        self._waits: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def one(self, rpc: Any) -> AsyncIterator[None]:
        """Counts a stream while it is open; raises grpc's AbortError, the call being refused, if there are too many."""
        if self._open >= self._most:
            await rpc.abort(STATUSES["RESOURCE_EXHAUSTED"], f"{self._most} {self._full}")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def wait(self, work: Awaitable[T], seconds: float) -> T | None:
        """The result of `work`; None if it takes longer than `seconds`, or the server stops meanwhile.

        Only for what may be cancelled: a write may not, or the call has no end for grpc.aio.
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
        """Ends all that is waited for, now and later."""
        self.closed = True
        for wait in self._waits:
            wait.reschedule(0.0)


class HealthService:
    """`grpc.health.v1.Health`, which load balancers and Kubernetes ask: serving while every predictor is ready and the
    server does not stop."""

    def __init__(self, health: HealthFace) -> None:
        self._health = health
        self.streams = Streams(100, "watch already; ask with Check")

    async def check(self, call: GrpcCall) -> GrpcAnswer:
        service = parsed(HealthCheckRequest, call.message).service
        if service not in KNOWN:
            raise NotFound(f"there is no service {service[:64]!r}")
        return GrpcAnswer(self._response(service))

    async def watch(self, messages: Any, rpc: Any) -> None:
        """Sends the status now, and again whenever it changes."""
        async with self.streams.one(rpc):
            message = await self.streams.wait(anext(messages, None), LONGEST_SILENCE)
            if message is not None:
                await self._tell(_service(message), rpc)

    async def _tell(self, service: str, rpc: Any) -> None:
        told = None
        while not self.streams.closed:
            response = self._response(service)
            if response != told:
                await rpc.write(response)
                told = response
            await self.streams.wait(asyncio.sleep(LOOK), 2 * LOOK)

    def _response(self, service: str) -> bytes:
        if service not in KNOWN:
            status = HealthCheckResponse.SERVICE_UNKNOWN
        else:
            status = HealthCheckResponse.NOT_SERVING if self._health.waiting() else HealthCheckResponse.SERVING
        body: bytes = HealthCheckResponse(status=status).SerializeToString()
        return body


def _service(message: bytes) -> str:
    """The service that is asked about; what is no message asks about one that nobody knows."""
    try:
        plain = decompress(message, packing(message) or "identity", MOST_BYTES, MOST_BYTES)
        service: str = parsed(HealthCheckRequest, plain).service
    except PredictionError:
        return "\0"
    return service


class Reflection:
    """Describes the services to clients that know none of their messages, by the servicer of grpcio-reflection."""

    def __init__(self) -> None:
        self.streams = Streams(20, "clients use reflection already; try again")
        pool = DescriptorPool()  # health's and reflection's own messages are in another, so all are copied to one
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
    """The request in `message`; what is none becomes an empty one, which the servicer refuses."""
    try:
        return reflection_pb2.ServerReflectionRequest.FromString(message)
    except messages.DecodeError:
        return reflection_pb2.ServerReflectionRequest()
