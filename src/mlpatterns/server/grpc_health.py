"""gRPC's own health protocol, `grpc.health.v1.Health`: what load balancers and Kubernetes ask.

The messages are those of grpcio-health-checking. Its servicer keeps a status until it is told another one; this one
asks `Health` whenever it is asked, so that both faces always say the same.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mlpatterns.errors import MissingExtra, NotFound, PredictionError
from mlpatterns.oip.compression import decompress
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.server.grpc_call import GrpcAnswer, GrpcCall, packing, parsed
from mlpatterns.server.grpc_streams import Streams
from mlpatterns.server.health import HealthFace

try:
    from grpc_health.v1 import health
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["HEALTH_SERVICE", "HealthService"]

HEALTH_SERVICE: str = health.SERVICE_NAME
LOOK = 0.2  # seconds between looks at what a watcher wants to know
MOST_BYTES = 1024  # of a request, which has a name
KNOWN = ("", SERVICE)


class HealthService:
    """Serving while every predictor is ready and the server does not stop."""

    def __init__(self, health: HealthFace) -> None:
        self._health = health
        self.streams = Streams(100, "watch already; ask with Check")

    async def check(self, call: GrpcCall) -> GrpcAnswer:
        service = parsed(HealthCheckRequest, call.message).service
        if service not in KNOWN:
            raise NotFound(f"there is no service {service[:64]!r}")
        return GrpcAnswer(self._response(service))

    async def watch(self, message: bytes, rpc: Any) -> None:
        """Sends the status now, and again whenever it changes."""
        async with self.streams.one(rpc):
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
