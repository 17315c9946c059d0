"""The gRPC server of one process, beside HTTP: started after the predictors, drained with everything else."""

from __future__ import annotations

import asyncio
import socket as sockets
import ssl

from mlpatterns.errors import AddressInUse, MissingExtra, SettingsError
from mlpatterns.launch.listening import BACKLOG, shared_socket
from mlpatterns.server.app import App
from mlpatterns.settings import Settings

try:
    from mlpatterns.launch.grpc.connection import Connection
    from mlpatterns.launch.grpc.served import Served
except ImportError as error:
    raise MissingExtra("--grpc-port", "grpc") from error

__all__ = ["GrpcServer"]


class GrpcServer:
    """Serves `app`, which must be running, on a port that `reserve` holds.

    Args:
        port: of the settings' host; other workers may open it too.
    """

    def __init__(self, app: App, settings: Settings, port: int) -> None:
        self._app, self._settings, self._port = app, settings, port
        self._grace = settings.request_timeout + 5
        self._server: asyncio.Server | None = None
        self._stopping: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Opens the port.

        Raises:
            AddressInUse: it cannot be opened.
            SettingsError: the certificate cannot be used.
        """
        settings, loop = self._settings, asyncio.get_running_loop()
        self._face = face = self._app.grpc_face()
        self._served = served = Served(
            face.find,
            face.buffers,
            face.offload,
            settings.max_header_bytes,
            settings.request_timeout,
            set(),
        )
        context = _tls(settings)
        self._server = await loop.create_server(
            lambda: Connection(served), sock=self._socket(), ssl=context, backlog=BACKLOG
        )

    def _socket(self) -> sockets.socket:
        try:
            return shared_socket(self._settings, self._port)
        except AddressInUse:
            raise AddressInUse(
                f"port {self._port} cannot be opened for gRPC; choose another with --grpc-port"
            ) from None

    def stop(self, *, at_once: bool = False) -> None:
        """Begins to stop: no new calls, those in flight are answered unless it must be `at_once`."""
        if self._server is None:
            return  # the signal came while the models were loading; `stopped` will be asked for too
        self._face.health.stop()
        self._server.close()
        for connection in list(self._served.connections):
            if at_once:
                connection.abort()
            else:
                connection.drain()
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._emptied())

    async def stopped(self) -> None:
        """Stops, if that has not begun, and returns when nothing is in flight any more."""
        if self._stopping is None:
            self.stop()
        assert self._stopping is not None
        await self._stopping

    async def _emptied(self) -> None:
        """Returns when every client has gone, or has had its time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._grace
        while (left := list(self._served.connections)) and loop.time() < until:
            await asyncio.sleep(0.02)
            for connection in left:
                connection.drain()  # one that had just been let in
        for connection in list(self._served.connections):
            connection.abort()
        await asyncio.sleep(0)  # until they know


def _tls(settings: Settings) -> ssl.SSLContext | None:
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError:  # ssl.SSLError is one
        raise SettingsError("tls_certificate and tls_key cannot be read") from None
    context.set_alpn_protocols(["h2"])
    return context
