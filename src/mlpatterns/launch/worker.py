"""One serving process: uvicorn, and optionally a gRPC server. It listens while its models load, drains at SIGTERM,
limits request headers, and ends with a one-sentence error if it cannot start."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from socket import socket
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from mlpatterns.allocator import bound_arenas
from mlpatterns.launch.listening import BACKLOG, Ports
from mlpatterns.launch.peers import Peers
from mlpatterns.server.app import App
from mlpatterns.server.cors import cross_origin
from mlpatterns.server.http_protocol import OneWriteProtocol, abort_slow_readers, close_slow_heads
from mlpatterns.server.logs import configure_logs
from mlpatterns.server.servable import Servable
from mlpatterns.server.starting import Starting
from mlpatterns.settings import Settings

if TYPE_CHECKING:
    from mlpatterns.launch.grpc_server import GrpcServer

__all__ = ["run_worker"]

log = logging.getLogger("mlpatterns")

KEEP_ALIVE = 75  # seconds; longer than the 60 s after which common proxies close an idle connection themselves
ACCEPTED_AT_ONCE = 16  # new connections in one turn of the event loop, without a supervisor
TICKS_A_SECOND = 10  # calls of `on_tick` by uvicorn
ABANDON_SECONDS = 1.0  # seconds until a process that was told to stop ends, even if a model is still loading
LAST_MOMENT = 0.5  # seconds in which a connection that was accepted just before the end may send its request
ALONE = Peers()


def run_worker(
    app: Servable,
    settings: Settings,
    *,
    title: str,
    ports: Ports | None = None,
    supervisor: int | None = None,
    peers: Peers = ALONE,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serves `app` until SIGTERM or SIGINT; returns when the requests in flight are answered.

    Args:
        title: what is served, for the log.
        ports: the open ports; they are closed at the end. (default: those of the settings)
        supervisor: the process id of the supervisor; when it has ended, this process stops.
        peers: the other workers. (default: there are none)
        on_ready: called once, when this worker is ready.

    Raises:
        UserError: it cannot start; the text says what to do.
    """
    configure_logs(settings)
    bound_arenas()
    ports = ports or Ports(settings)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are about malformed requests, one line each
    server = DrainingServer(app, settings, supervisor, peers, on_ready)
    server.line = f"{title} is on {ports}" if supervisor is None else f"{title} is ready"
    try:
        if ports.grpc is not None and isinstance(app, App):
            from mlpatterns.launch.grpc_server import GrpcServer

            server.grpc = GrpcServer(app, settings, ports.grpc)
        server.run(sockets=ports.sockets)
    finally:
        ports.close()


class DrainingServer(uvicorn.Server):
    """Listens while it starts the predictors.

    At SIGTERM, for `drain_delay` seconds, the server answers as before, but `/health/ready` answers 503 and each
    response closes its connection. Then the requests in flight finish, and after them the predictors stop. If the
    predictors are still loading, the process ends without waiting for them. A second signal ends it at once.
    """

    def __init__(
        self, app: Servable, settings: Settings, supervisor: int | None, peers: Peers, on_ready: Callable[[], None]
    ) -> None:
        self._app, self._starting, self._settings = app, Starting(app, peers.ready), settings
        self._supervisor, self._peers, self._on_ready = supervisor, peers, on_ready
        super().__init__(_config(self._starting, settings))
        self._ticks = 0
        self._sockets: list[socket] = []
        self._answered = asyncio.Event()  # all requests in flight are answered
        self._running: asyncio.Task[None] | None = None
        self.line = ""
        self.grpc: GrpcServer | None = None

    async def serve(self, sockets: list[socket] | None = None) -> None:
        """Serves until it is told to stop.

        Raises:
            UserError: the app could not start.
        """
        await super().serve(sockets)
        if self._running is not None and not self._running.cancelled():
            self._running.result()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        self._sockets = sockets or []
        await self._listen(not self._peers.ready())
        self._running = asyncio.create_task(self._run_app())

    async def _listen(self, listens: bool) -> None:
        # Duplicates, because a server that closes also closes its sockets, and this worker may listen again. Several,
        # because libuv accepts one connection per socket in each turn of its loop, and a turn serves all busy
        # connections. Only one with a supervisor: the first worker to wake would take the connections of all workers.
        copies = ACCEPTED_AT_ONCE if self._supervisor is None else 1
        await super().startup([one.dup() for one in self._sockets for _ in range(copies) if listens])

    async def _run_app(self) -> None:
        """Starts the app and the gRPC server, and stops them when all requests are answered."""
        try:
            async with self._app.running():
                if self.grpc is not None:
                    await self.grpc.start()
                await self._is_ready()
                await self._answered.wait()
                if self.grpc is not None:
                    await self.grpc.stopped()
        finally:
            self.should_exit = True  # also if the app failed to start

    async def _is_ready(self) -> None:
        """Reports that the app has started, and answers requests from now on."""
        first = not self._peers.ready()
        self._peers.join()
        if first and self._supervisor is not None:
            # The other workers see it in this time: after a client has learned that the server is ready, its requests
            # must not reach a worker that is still loading.
            await asyncio.sleep(2 / TICKS_A_SECOND)
        if self._app.draining:
            return  # this worker was told to stop in the meantime, and this task will be cancelled
        self._starting.end(started=True)
        if not self.servers:
            await self._listen(True)
        log.info("%s", self.line)
        self._on_ready()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # first, so that new connections go to another worker, or are refused
        if not self._starting.started:
            self._starting.end(started=False)
        connections: set[Any] = self.server_state.connections
        for _ in range(50):
            if self.force_exit or all(connection.scope is not None for connection in connections):
                break
            await asyncio.sleep(LAST_MOMENT / 50)
        await super().shutdown(sockets)
        self._answered.set()
        assert self._running is not None
        if not self._starting.started:
            self._running.cancel()
        seconds = self._settings.request_timeout + 5
        _, going = await asyncio.wait([self._running], timeout=seconds)
        if going:  # the `stop` of a predictor hangs
            log.error("the predictors did not stop within %g s; the process ends", seconds)
            os._exit(1)
        if self._app.draining:
            _end_soon()  # the next version of a model may still be loading

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._app.draining:
            self.should_exit = self.force_exit = True
            if self.grpc is not None:
                self.grpc.stop(at_once=True)
            return
        self._app.draining = True
        if not self._starting.started:
            _end_soon()
        delay = self._settings.drain_delay if self._starting.started else 0.0
        asyncio.get_running_loop().call_later(delay, self._exit)

    def _exit(self) -> None:
        self.should_exit = True
        if self.grpc is not None:
            self.grpc.stop()

    async def on_tick(self, counter: int) -> bool:
        self._ticks += 1
        if self._ticks % TICKS_A_SECOND == 0:
            if self._supervisor not in (None, os.getppid()):
                self._supervisor = None
                self.handle_exit(signal.SIGTERM, None)  # nothing else would stop this worker
            close_slow_heads(self.server_state.connections, 2 * self._settings.max_header_bytes)
            abort_slow_readers(self.server_state.connections, self._settings.send_timeout)
        if not self._starting.started:
            await self._listen_unless_another_is_ready()
        return bool(await super().on_tick(counter))

    async def _listen_unless_another_is_ready(self) -> None:
        """While the models load, this worker listens if no other is ready."""
        another = self._peers.ready()
        if another and self.servers:
            for server in self.servers:
                server.close()
            self.servers = []
        elif not another and not self.servers:
            await self._listen(True)


def _end_soon() -> None:
    """Ends the process after `ABANDON_SECONDS`, if it has not ended by itself."""
    # A thread, because a model that loads may block the event loop; `os._exit`, because it may block other threads.
    timer = threading.Timer(ABANDON_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _config(app: Starting, settings: Settings) -> uvicorn.Config:
    prefix = settings.root_path.strip("/")
    return uvicorn.Config(
        cross_origin(app, settings.cors_origins),  # for `Starting` and for apps of other frameworks too
        interface="asgi3",
        http=OneWriteProtocol,
        ws="none",
        lifespan="off",  # `DrainingServer` starts and stops the app, so that an error is one sentence
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.request_timeout) + 5,
        root_path=prefix and f"/{prefix}",
        proxy_headers=settings.proxy_headers,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
