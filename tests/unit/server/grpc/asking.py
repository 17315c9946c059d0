"""A gRPC client and server in one process, for the server's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import numpy as np
from msgspec.structs import replace

from mlpatterns.launch.grpc_server import GrpcServer
from mlpatterns.launch.listening import Ports
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.oip.status import PUSHBACK
from mlpatterns.predictor import Predictor
from mlpatterns.server.app import App, serve
from mlpatterns.settings import Settings

Status = grpc.StatusCode
UNLIMITED = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
ROW = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)


class Asking:
    """Calls by name, bytes out and in. The statuses that calls ended with, and their trailing metadata, are kept."""

    def __init__(self, channel: Any, app: App, server: GrpcServer, port: int) -> None:
        self.channel, self.app, self.server, self.port = channel, app, server, port
        self.trailing: dict[str, Any] = {}

    async def call(self, path: str, body: bytes, metadata: Mapping[str, str] | None = None, **options: Any) -> bytes:
        if "/" not in path:
            path = f"{messages.SERVICE}/{path}"
        call = self.channel.unary_unary(f"/{path}")(body, metadata=tuple((metadata or {}).items()), **options)
        try:
            answer: bytes = await call
        finally:
            if call.done() and not call.cancelled():
                self.trailing = dict(iter(await call.trailing_metadata() or ()))
        return answer

    async def refused(self, path: str, body: bytes, **options: Any) -> tuple[Any, str]:
        """The status and the sentence of a call that must fail."""
        try:
            await self.call(path, body, **options)
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        raise AssertionError("the call was answered")

    async def infer(self, asked: Any, **options: Any) -> Any:
        answer = await self.call("ModelInfer", asked.SerializeToString(), **options)
        return messages.ModelInferResponse.FromString(answer)

    async def not_inferred(self, asked: Any, **options: Any) -> tuple[Any, str]:
        return await self.refused("ModelInfer", asked.SerializeToString(), **options)

    @property
    def pushback(self) -> str | None:
        return self.trailing.get(PUSHBACK)


def iris_request(rows: Any = ROW, *, model: str = "iris", raw: bool = True, **fields: Any) -> Any:
    """A ModelInferRequest for the iris model of the doubles."""
    asked = messages.ModelInferRequest(model_name=model, **fields)
    tensor = asked.inputs.add(name="input", datatype="FP32", shape=np.shape(rows))
    if raw:
        asked.raw_input_contents.append(np.asarray(rows, "<f4").tobytes())
    else:
        tensor.contents.fp32_contents.extend(np.ravel(rows).tolist())
    return asked


def asking(
    test: Callable[[Asking], Awaitable[None]],
    served: Predictor | Mapping[str, Predictor] | Callable[[], Predictor],
    *,
    settings: Settings | None = None,
    **of_app: Any,
) -> None:
    """Runs `test` with a client of an app that serves `served`, or what it builds, over gRPC."""

    def build() -> Predictor | Mapping[str, Predictor]:
        return served() if callable(served) else served

    async def main() -> None:
        app = serve(build, settings=settings or Settings(), **of_app)
        async with app.running():
            chosen = replace(settings or Settings(), port=0, grpc_port=0)
            ports = Ports(chosen)
            server = GrpcServer(app, chosen, ports.grpc or 0)
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}", options=UNLIMITED) as channel:
                    await asyncio.wait_for(test(Asking(channel, app, server, ports.grpc or 0)), 30)
            finally:
                server.stop(at_once=True)
                await server.stopped()
                ports.close()

    asyncio.run(main())
