"""A part of a system on a server of its own, over a real socket in the same loop, for tests of what travels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from msgspec.structs import replace

from mlpatterns.launch.grpc_server import GrpcServer
from mlpatterns.launch.listening import Ports
from mlpatterns.runtime import Built
from mlpatterns.server.app import App, serve
from mlpatterns.settings import Settings


@asynccontextmanager
async def served_elsewhere(
    scheme: str, build: Callable[[], Built], *, service: str | None = None, **options: Any
) -> AsyncIterator[tuple[str, App]]:
    """The address and the app of a server of `build()`, or of one service of it."""
    settings = replace(Settings(service=service, control="memory://", **options), port=0, grpc_port=0)
    app = serve(build, settings=settings)
    ports = Ports(settings)
    try:
        async with app.running():
            serving = _grpc if scheme == "grpc" else _http
            async with serving(app, settings, ports):
                port = ports.grpc if scheme == "grpc" else ports.http.getsockname()[1]
                yield f"{scheme}://127.0.0.1:{port}", app
    finally:
        ports.close()


@asynccontextmanager
async def _http(app: App, settings: Settings, ports: Ports) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve(sockets=[ports.http]))
    while not server.started:
        await asyncio.sleep(0.001)
    yield
    server.should_exit = True
    await running


@asynccontextmanager
async def _grpc(app: App, settings: Settings, ports: Ports) -> AsyncIterator[None]:
    server = GrpcServer(app, settings, ports.grpc or 0)
    await server.start()
    yield
    server.stop(at_once=True)
    await server.stopped()
