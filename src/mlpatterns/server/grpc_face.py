"""The gRPC face of an app: which method leads where, through the dispatcher that every face shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlpatterns.errors import MissingExtra
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.auth import Access
from mlpatterns.server.dispatch import Dispatcher
from mlpatterns.server.exchange import Buffers
from mlpatterns.server.grpc_call import GrpcCall, GrpcHandler
from mlpatterns.server.grpc_health import HEALTH_SERVICE, HealthService
from mlpatterns.server.grpc_streams import REFLECTION, Reflection, Streams
from mlpatterns.server.health import Health
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip_grpc import InferenceService
from mlpatterns.server.oip_management import Management
from mlpatterns.server.routes import Route

try:
    import grpc
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["GrpcFace"]


class GrpcFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """What a grpc.aio server is given: bytes in, bytes out, so that what comes is decoded here and refused by us."""

    def __init__(
        self,
        models: Mapping[str, Hosted],
        runtime: AppRuntime,
        buffers: Buffers,
        health: Health,
        management: Management,
        dispatcher: Dispatcher,
    ) -> None:
        self._dispatcher, self._metrics, self._streams = dispatcher, runtime.metrics, Streams()
        watched, reflection = HealthService(health, self._streams), Reflection(self._streams)
        service = InferenceService(models, runtime, buffers, health, management)
        calls = {f"/{SERVICE}/{name}": call for name, call in service.calls().items()}
        calls[f"/{HEALTH_SERVICE}/Check"] = (watched.check, "open")
        unary, both = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        self._methods = {path: unary(self._method(path, *call)) for path, call in calls.items()}
        self._methods[f"/{REFLECTION}"] = both(self._method(f"/{REFLECTION}", reflection.info, "user"))
        self._methods[f"/{HEALTH_SERVICE}/Watch"] = grpc.unary_stream_rpc_method_handler(watched.watch)

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method; None, which grpc answers with UNIMPLEMENTED, if there is none."""
        return self._methods.get(handler_call_details.method)

    def close(self) -> None:
        """Ends the streams: the server stops."""
        self._streams.close()

    def _method(self, path: str, handler: GrpcHandler, access: Access) -> Any:
        route, handle = Route(path, handler, self._metrics, access=access), self._dispatcher.handle

        async def answer(message: Any, rpc: Any) -> bytes:
            call = GrpcCall(path, message, rpc)
            await handle(call, route)
            return call.reply

        return answer
