"""The gRPC face of an app: which method leads where, through the dispatcher that every face shares."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from mlpatterns.errors import MissingExtra
from mlpatterns.interfaces import Metrics
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.server.auth import Access
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.dispatch import Dispatcher
from mlpatterns.server.grpc.call import GrpcAnswer, GrpcCall, GrpcHandler, packing
from mlpatterns.server.grpc.inference import InferenceService
from mlpatterns.server.grpc.streams import HEALTH_SERVICE, REFLECTION, HealthService, Reflection
from mlpatterns.server.health import HealthFace
from mlpatterns.server.routes import Route

try:
    import grpc
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["GrpcFace"]


class GrpcFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """What a grpc.aio server is given: bytes in, bytes out, so that what comes is decoded here and refused by us."""

    def __init__(
        self, service: InferenceService, health: HealthFace, dispatcher: Dispatcher, buffers: Buffers, metrics: Metrics
    ) -> None:
        self._dispatcher, self._metrics, self._buffers = dispatcher, metrics, buffers
        self._health, self._reflection = HealthService(health), Reflection()
        methods = {f"{SERVICE}/{name}": call for name, call in service.calls().items()}
        methods[f"{HEALTH_SERVICE}/Check"] = (self._health.check, "open")
        watch = self._opening(f"/{HEALTH_SERVICE}/Watch", self._health.watch, "open")
        reflect = self._opening(f"/{REFLECTION}", self._reflection.info, "user")
        self._handlers = {
            **{f"/{method}": self._answering(f"/{method}", *call) for method, call in methods.items()},
            f"/{HEALTH_SERVICE}/Watch": grpc.unary_stream_rpc_method_handler(watch),
            f"/{REFLECTION}": grpc.stream_stream_rpc_method_handler(reflect),
        }

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method; None, which grpc answers with UNIMPLEMENTED, if there is none."""
        return self._handlers.get(handler_call_details.method)

    def close(self) -> None:
        """Ends the streams: the server stops."""
        self._health.streams.close()
        self._reflection.streams.close()

    def _answering(self, path: str, handler: GrpcHandler, access: Access) -> Any:
        async def unpacked(call: GrpcCall) -> GrpcAnswer:
            self._buffers.hold(call, len(call.message))
            packed = packing(call.message)
            if packed is not None:
                call.message = await self._buffers.unpacked(call.message, packed)
                self._buffers.hold(call, len(call.message))
            return await handler(call)

        route = Route(path, unpacked, self._metrics, access=access)

        async def answer(message: bytes, rpc: Any) -> bytes:
            return await self._answered(GrpcCall(path, message, rpc), route) or b""

        return grpc.unary_unary_rpc_method_handler(answer)

    def _opening(self, path: str, stream: Callable[[Any, Any], Coroutine[Any, Any, None]], access: Access) -> Any:
        """A stream that the dispatcher lets in and that then is open outside of it: it holds no request's slot."""
        route = Route(path, _let_in, self._metrics, access=access)

        async def opened(asked: Any, rpc: Any) -> None:
            if await self._answered(GrpcCall(path, b"", rpc), route) is not None:
                await stream(asked, rpc)

        return opened

    async def _answered(self, call: GrpcCall, route: Route) -> bytes | None:
        """The message that grpc.aio shall send; None if the call was refused."""
        await self._dispatcher.handle(call, route)
        return await call.send()


async def _let_in(call: GrpcCall) -> GrpcAnswer:
    return GrpcAnswer(b"")
