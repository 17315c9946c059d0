"""One serving process: uvicorn, and gRPC beside it, with a drain, bounded heads and a sentence when it cannot start."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from socket import socket
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, cast

import uvicorn

from mlpatterns.launch.listening import BACKLOG, Ports
from mlpatterns.launch.protocol import OneWriteProtocol
from mlpatterns.server.app import App
from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.server.logs import configure_logs
from mlpatterns.settings import Settings

if TYPE_CHECKING:
    from mlpatterns.launch.grpc_server import GrpcServer

__all__ = ["Servable", "run_worker"]

log = logging.getLogger("mlpatterns")

KEEP_ALIVE = 75  # seconds; longer than the 60 s after which common proxies close an idle connection themselves
HEAD_SECONDS = 10.0  # a connection must have sent a whole request head by then
TICKS_A_SECOND = 10  # uvicorn's
LAST_MOMENT = 0.5  # seconds in which a connection that was let in just before the end may say what it wants


class Servable(Protocol):
    """What a worker serves: an `App`, or several behind one front."""

    draining: bool

    def running(self) -> AbstractAsyncContextManager[object]: ...
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


def run_worker(
    app: Servable,
    settings: Settings,
    *,
    title: str,
    ports: Ports | None = None,
    supervisor: int | None = None,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Serves `app` until SIGTERM or SIGINT; returns when what was in flight is answered.

    Args:
        title: what is served, for the line that says where.
        ports: where to listen, if that is open already; closed at the end. (default: what the settings say)
        supervisor: the process that listens for all its workers, without which this one must not go on.
        tell: called once when it is ready.

    Raises:
        UserError: it cannot start; its text says what to do.
    """
    configure_logs(settings)
    ports = ports or Ports(settings)
    config = uvicorn.Config(
        app,
        http=OneWriteProtocol,
        ws="none",
        lifespan="off",  # `DrainingServer` runs the app itself, so that its error is one sentence
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.request_timeout) + 5,
        root_path=settings.root_path,
        proxy_headers=settings.proxy_headers,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are of what strangers send: a line each
    server = DrainingServer(config, app, settings, supervisor=supervisor, tell=tell)
    server.line = f"{title} is on {ports}" if supervisor is None else f"{title} is ready"
    try:
        if ports.grpc is not None and isinstance(app, App):
            from mlpatterns.launch.grpc_server import GrpcServer

            server.grpc = GrpcServer(app, settings, ports.grpc)
        server.run(sockets=ports.sockets)
    finally:
        ports.close()


class DrainingServer(uvicorn.Server):
    """SIGTERM: ready says 503 and answers close their connection, for `drain_delay`; then what is in flight is
    finished, and only then the predictors stop. A second signal ends at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: Servable,
        settings: Settings,
        *,
        supervisor: int | None,
        tell: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._tell = tell
        self._app, self._settings = app, settings
        self._ticks = 0
        self._supervisor = supervisor
        self.line = ""
        self.grpc: GrpcServer | None = None

    async def _serve(self, sockets: list[socket] | None = None) -> None:
        async with self._app.running():
            if self.grpc is not None:
                await self.grpc.start()
            log.info("%s", self.line)
            await super()._serve(sockets)
            if self.grpc is not None:
                await self.grpc.stopped()
        self._captured_signals.clear()  # or uvicorn would raise the signal again: a drained exit is a good exit

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # first, so that those who come now go to another worker, or know that there is none
        connections: set[Any] = self.server_state.connections
        for _ in range(50):
            if self.force_exit or all(connection.scope is not None for connection in connections):
                break
            await asyncio.sleep(LAST_MOMENT / 50)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._app.draining:
            self.should_exit = self.force_exit = True
            if self.grpc is not None:
                self.grpc.stop(at_once=True)
            return
        self._app.draining = True
        asyncio.get_running_loop().call_later(self._settings.drain_delay, self._exit)

    def _exit(self) -> None:
        self.should_exit = True
        if self.grpc is not None:
            self.grpc.stop()

    async def on_tick(self, counter: int) -> bool:
        self._ticks += 1
        if self._ticks % TICKS_A_SECOND == 0 and self._supervisor not in (None, os.getppid()):
            self._supervisor = None
            self.handle_exit(signal.SIGTERM, None)  # it was killed: nobody else would stop this worker
        if self._ticks % TICKS_A_SECOND == 0:
            self._close_slow(asyncio.get_running_loop().time())
        return bool(await super().on_tick(counter))

    def _close_slow(self, now: float) -> None:
        """Closes connections whose request head does not come to an end, or grows too large: no app sees those."""
        connections = cast("list[OneWriteProtocol]", list(self.server_state.connections))
        for connection in connections:
            since = connection.head_since
            late = since is not None and now - since > HEAD_SECONDS
            if late or connection.head_bytes > 2 * self._settings.max_header_bytes:
                connection.transport.close()
