"""gRPC's own health protocol, `grpc.health.v1.Health`: what load balancers and Kubernetes ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import IntEnum

from mlpatterns.errors import InvalidInput, NotFound
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.server.grpc_call import GrpcAnswer, GrpcCall, Incoming, parsed
from mlpatterns.server.health import HealthFace

__all__ = ["HealthService", "Serving"]

LOOK = 0.2  # seconds between looks at what a watcher wants to know
MOST_WATCHERS = 100  # at once: each costs something for as long as it likes
KNOWN = ("", messages.SERVICE)


class Serving(IntEnum):
    """What may be said of a service."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class HealthService:
    """Serving while every predictor is ready and the server does not stop."""

    def __init__(self, health: HealthFace) -> None:
        self._health = health
        self._stopped = asyncio.Event()
        self._watchers = 0

    def stop(self) -> None:
        """Ends all watching: nobody may keep a server from stopping by looking at it."""
        self._stopped.set()

    async def check(self, call: GrpcCall) -> GrpcAnswer:
        service = parsed(messages.HealthCheckRequest, call.message).service
        if service not in KNOWN:
            raise NotFound(f"there is no service {service[:64]!r}")
        return GrpcAnswer(_said(self._status(service)))

    async def watch(self, call: Incoming, message: bytes) -> None:
        """The status now, and again whenever it changes."""
        if self._watchers >= MOST_WATCHERS:
            await call.status("RESOURCE_EXHAUSTED", f"{MOST_WATCHERS} watch already; ask with Check")
            return
        self._watchers += 1
        try:
            async for status in self._changes(_asked(message)):
                await call.message(_said(status))
        finally:
            self._watchers -= 1
        await call.status("OK", "")

    async def _changes(self, service: str) -> AsyncIterator[Serving]:
        last = None
        while not self._stopped.is_set():
            status = self._status(service)
            if status != last:
                yield status
                last = status
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), LOOK)

    def _status(self, service: str) -> Serving:
        if service not in KNOWN:
            return Serving.SERVICE_UNKNOWN
        return Serving.NOT_SERVING if self._health.waiting() else Serving.SERVING


def _asked(message: bytes) -> str:
    """The service that is asked about; what is no message asks about one that nobody knows."""
    try:
        service: str = parsed(messages.HealthCheckRequest, message).service
    except InvalidInput:
        return "\0"
    return service


def _said(status: Serving) -> bytes:
    body: bytes = messages.HealthCheckResponse(status=status).SerializeToString()
    return body
