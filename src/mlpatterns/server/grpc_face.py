"""The gRPC face of an app: which method leads where, through the dispatcher that every face shares."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from mlpatterns.errors import InternalError, MissingExtra
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.auth import Access
from mlpatterns.server.dispatch import Dispatcher
from mlpatterns.server.exchange import Buffers
from mlpatterns.server.grpc_call import GrpcCall, GrpcHandler
from mlpatterns.server.grpc_health import HEALTH_SERVICE, HealthService
from mlpatterns.server.grpc_streams import REFLECTION, Reflection
from mlpatterns.server.health import HealthFace
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip_grpc import InferenceService
from mlpatterns.server.oip_management import Management
from mlpatterns.server.routes import Route

try:
    import grpc
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["GrpcFace"]

log = logging.getLogger("mlpatterns")
FAILED = InternalError("the server failed to answer; the fault is not in the request")

Answering = Callable[[bytes, Any], Coroutine[Any, Any, bytes]]  # a message and grpc.aio's ServicerContext


class GrpcFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """What a grpc.aio server is given: bytes in, bytes out, so that what comes is decoded here and refused by us."""

    def __init__(
        self,
        models: Mapping[str, Hosted],
        runtime: AppRuntime,
        buffers: Buffers,
        health: HealthFace,
        management: Management,
        dispatcher: Dispatcher,
    ) -> None:
        self._dispatcher, self._metrics = dispatcher, runtime.metrics
        self._health, self._reflection = HealthService(health), Reflection()
        calls = InferenceService(models, runtime, buffers, health, management).calls()
        methods = {f"{SERVICE}/{name}": call for name, call in calls.items()}
        methods[f"{HEALTH_SERVICE}/Check"] = (self._health.check, "open")
        self._handlers = {
            f"/{method}": grpc.unary_unary_rpc_method_handler(self._answering(f"/{method}", *call))
            for method, call in methods.items()
        }
        self._handlers[f"/{HEALTH_SERVICE}/Watch"] = grpc.unary_stream_rpc_method_handler(self._health.watch)
        self._handlers[f"/{REFLECTION}"] = grpc.stream_stream_rpc_method_handler(self._reflecting(f"/{REFLECTION}"))

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method; None, which grpc answers with UNIMPLEMENTED, if there is none."""
        return self._handlers.get(handler_call_details.method)

    def close(self) -> None:
        """Ends the streams: the server stops."""
        self._health.streams.close()
        self._reflection.streams.close()

    def _answering(self, path: str, handler: GrpcHandler, access: Access) -> Answering:
        route, handle = Route(path, handler, self._metrics, access=access), self._dispatcher.handle

        async def answer(message: bytes, rpc: Any) -> bytes:
            call = GrpcCall(path, message, rpc)
            try:
                await handle(call, route)
            except BaseException as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # the client has left
                # grpc.aio would end the whole server for a SystemExit, and answer none of the others.
                log.error("the server failed", exc_info=error)
                await call.answer(call.refusal(FAILED))
            return await call.send()

        return answer

    def _reflecting(self, path: str) -> Any:
        admit = self._answering(path, self._reflection.admit, "user")

        async def reflect(stream: Any, rpc: Any) -> None:
            if await admit(b"", rpc):
                await self._reflection.info(stream, rpc)

        return reflect
