"""The gRPC API of an app: a handler for each method, which uses the dispatcher that gRPC and HTTP share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from mlpatterns.interfaces import Metrics
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.server.auth import Access
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.dispatch import Dispatcher
from mlpatterns.server.grpc.arrivals import Arrivals
from mlpatterns.server.grpc.call import STATUSES, GrpcAnswer, GrpcCall, GrpcHandler, compression_of
from mlpatterns.server.grpc.inference import InferenceService
from mlpatterns.server.grpc.stalled import Stalled, Unsent
from mlpatterns.server.grpc.streams import HEALTH_SERVICE, REFLECTION, HealthService, Reflection
from mlpatterns.server.health import HealthFace
from mlpatterns.server.routes import ServerRoute
from mlpatterns.user_errors import MissingExtra

try:
    import grpc
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["GrpcFace"]

MOST_METADATA = 1024  # entries of one call; the dispatcher bounds their bytes
COPIES = 2  # of an answer until it is sent: grpc.aio keeps one, and gRPC's core keeps another
SHARES = 8  # answers on a connection that does not read may take 1/SHARES of the bytes that the server may hold
MOST_ARRIVING = 1024  # messages at the same time; each may become as large as `max_body_bytes`


class GrpcFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """The handlers of a grpc.aio server. They take and return bytes, so that this code can decode or refuse messages.

    All of them take a stream of messages, even if a call has only one. grpc.aio calls such a handler as soon as the
    headers of a call have arrived. It calls a handler of a single message only after that message has arrived, and
    waits for it without a time limit.
    """

    def __init__(
        self, service: InferenceService, health: HealthFace, dispatcher: Dispatcher, buffers: Buffers, metrics: Metrics
    ) -> None:
        self._dispatcher, self._metrics, self._buffers = dispatcher, metrics, buffers
        self._arrivals = Arrivals(MOST_ARRIVING)
        self._unsent = Unsent(buffers.most_together // SHARES // COPIES, buffers)
        self._health, self._reflection = HealthService(health), Reflection()
        methods = {f"{SERVICE}/{name}": call for name, call in service.calls().items()}
        methods[f"{HEALTH_SERVICE}/Check"] = (self._health.check, "open")
        watch = self._stream_handler(f"/{HEALTH_SERVICE}/Watch", self._health.watch, "open")
        reflect = self._stream_handler(f"/{REFLECTION}", self._reflection.info, "user")
        self._handlers = {
            **{f"/{method}": self._unary_handler(f"/{method}", *call) for method, call in methods.items()},
            f"/{HEALTH_SERVICE}/Watch": grpc.stream_stream_rpc_method_handler(watch),
            f"/{REFLECTION}": grpc.stream_stream_rpc_method_handler(reflect),
        }

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method. If it is None, because there is no such method, grpc answers UNIMPLEMENTED."""
        if len(handler_call_details.invocation_metadata) > MOST_METADATA:
            return TOO_MUCH_METADATA
        return self._handlers.get(handler_call_details.method)

    def stalled(self, port: int, seconds: float) -> Stalled:
        """Makes the watcher that closes connections on `port` whose clients do not take their answers for `seconds`."""
        return Stalled(self._unsent, port, seconds)

    def close(self) -> None:
        """Ends the streams, because the server stops."""
        self._health.streams.close()
        self._reflection.streams.close()

    def _unary_handler(self, path: str, handler: GrpcHandler, access: Access) -> Any:
        async def read_and_answer(call: GrpcCall) -> GrpcAnswer:
            await self._read(call)
            answer = await handler(call)
            self._unsent.check(call.rpc, len(answer.body))
            for _ in range(COPIES - 1):  # the dispatcher counts the first copy
                self._buffers.hold_answer(call, len(answer.body))
            return answer

        route = ServerRoute(path, read_and_answer, self._metrics, access=access)

        async def answer(messages: Any, rpc: Any) -> bytes:
            body = await self._dispatch(GrpcCall(path, rpc), route)
            if body is None:
                return b""  # grpc.aio drops this value
            self._unsent.add(rpc, len(body))
            return body

        return grpc.stream_unary_rpc_method_handler(answer)

    async def _read(self, call: GrpcCall) -> None:
        """Reads the message of a call, decompresses it, and counts its bytes."""
        message = await self._arrivals.read(call)
        self._buffers.hold(call, len(message))
        encoding = compression_of(message)
        if encoding is not None:
            call.message = await self._buffers.unpacked(message, encoding)
            self._buffers.hold(call, len(call.message))

    def _stream_handler(
        self, path: str, stream: Callable[[Any, Any], Coroutine[Any, Any, None]], access: Access
    ) -> Any:
        """The handler of a stream. The dispatcher admits the call; the stream itself does not count as a request."""
        route = ServerRoute(path, _admitted, self._metrics, access=access)

        async def opened(messages: Any, rpc: Any) -> None:
            if await self._dispatch(GrpcCall(path, rpc), route) is not None:
                await stream(messages, rpc)

        return opened

    async def _dispatch(self, call: GrpcCall, route: ServerRoute) -> bytes | None:
        """Handles the call, and returns the message that grpc.aio must send; None if an error status was sent."""
        await self._dispatcher.handle(call, route)
        return await call.send()


async def _refuse_metadata(messages: Any, rpc: Any) -> None:
    await rpc.abort(STATUSES["RESOURCE_EXHAUSTED"], f"the call has more than {MOST_METADATA} metadata; send fewer")


# Until a client has acknowledged the server's settings, gRPC's core accepts a header block of 16 MiB, which is up to
# half a million metadata entries. grpc.aio has already made a tuple of them when it calls this code. The usual handlers
# would read all entries several times, so this handler refuses the call first.
TOO_MUCH_METADATA = grpc.stream_unary_rpc_method_handler(_refuse_metadata)


async def _admitted(call: GrpcCall) -> GrpcAnswer:
    return GrpcAnswer(b"")
