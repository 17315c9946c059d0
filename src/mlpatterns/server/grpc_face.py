"""The gRPC face of an app: which method leads where, through the dispatcher that every face shares."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from mlpatterns.oip.grpc_messages import HEALTH_SERVICE, SERVICE
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.auth import Access
from mlpatterns.server.dispatch import Dispatcher
from mlpatterns.server.exchange import Buffers
from mlpatterns.server.grpc_call import Answering, GrpcCall, GrpcHandler, Incoming
from mlpatterns.server.grpc_health import HealthService
from mlpatterns.server.health import HealthFace
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip_grpc import InferenceService
from mlpatterns.server.routes import Route

__all__ = ["GrpcFace"]


class GrpcFace:
    """What a gRPC server is given: bytes in, bytes out, so that what comes is decoded here and refused by us.

    Attributes:
        buffers: where messages count while they arrive.
        offload: takes work off the event loop.
        health: of `grpc.health.v1`.
    """

    def __init__(
        self,
        models: Mapping[str, Hosted],
        runtime: AppRuntime,
        buffers: Buffers,
        health: HealthFace,
        dispatcher: Dispatcher,
    ) -> None:
        self._dispatcher, self._metrics = dispatcher, runtime.metrics
        self.buffers, self.offload = buffers, runtime.offload_codec
        self.health, service = HealthService(health), InferenceService(models, runtime, buffers, health)
        calls = {f"/{SERVICE}/{name}": call for name, call in service.calls().items()}
        calls[f"/{HEALTH_SERVICE}/Check"] = (self.health.check, "open")
        self._methods = {path: self._method(path, *call) for path, call in calls.items()}
        self._methods[f"/{HEALTH_SERVICE}/Watch"] = self.health.watch

    def find(self, path: str) -> Answering | None:
        """What answers calls of `/SERVICE/METHOD`; None if there is no such method."""
        return self._methods.get(path)

    def _method(self, path: str, handler: GrpcHandler, access: Access) -> Answering:
        route, handle = Route(path, handler, self._metrics, access=access), self._dispatcher.handle

        def answer(incoming: Incoming, message: bytes) -> Coroutine[Any, Any, None]:
            return handle(GrpcCall(incoming, message), route)

        return answer
