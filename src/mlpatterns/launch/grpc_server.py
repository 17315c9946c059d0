"""The gRPC server of one process: it starts after the predictors and drains together with HTTP."""

from __future__ import annotations

import asyncio
import logging
import resource
from math import ceil
from pathlib import Path
from typing import Any

from mlpatterns.allocator import give_back
from mlpatterns.launch.listening import check_certificate, numeric_host
from mlpatterns.server.app import App
from mlpatterns.settings import Settings
from mlpatterns.user_errors import AddressInUse, MissingExtra

try:
    import grpc
except ImportError as error:
    raise MissingExtra("--grpc-port", "grpc") from error

__all__ = ["GrpcServer"]

KEEP_ALIVE, PATIENCE = 60_000, 20_000  # milliseconds of silence before a ping, and until its answer
HANDSHAKE = 10_000  # milliseconds for the handshake, and until the client has acknowledged the server's settings
IDLE = 300_000  # milliseconds that a client may stay connected without a call
MOST_CONNECTIONS = 10_000
MEMORY_LOOKS = 10.0  # seconds between checks
MEMORY_FREE = 64 * 1024 * 1024  # bytes of growth since the start above which the process returns memory
HEADER_ROOM = 16 * 1024  # bytes above max_header_bytes, so that the dispatcher refuses with its own text


class GrpcServer:
    """Serves `app`, which must be running, on a port that `reserve` has reserved.

    Args:
        port: a port of the settings' host, which other workers may open too.
    """

    def __init__(self, app: App, settings: Settings, port: int) -> None:
        self._app, self._settings, self._port = app, settings, port
        self._grace = settings.request_timeout + 5
        self._server: Any = None
        self._stopping: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Opens the port.

        Raises:
            AddressInUse: it cannot be opened.
            SettingsError: the certificate cannot be used.
        """
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_client_that_left)
        self._face = self._app.grpc_face()
        self._server = grpc.aio.server(handlers=(self._face,), options=_options(self._settings))
        self._open(f"{numeric_host(self._settings)}:{self._port}")
        await self._server.start()
        stalled = self._face.stalled(self._port, self._settings.send_timeout)
        self._tasks = [asyncio.create_task(stalled.watch()), asyncio.create_task(_bound_memory())]

    def _open(self, address: str) -> None:
        certificate, key = self._settings.tls_certificate, self._settings.tls_key
        try:
            if certificate is None or key is None:
                self._server.add_insecure_port(address)
            else:
                check_certificate(self._settings)
                pair = (key.read_bytes(), certificate.read_bytes())
                self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError:
            raise AddressInUse(
                f"port {self._port} cannot be opened for gRPC; choose another with --grpc-port"
            ) from None

    def stop(self, *, at_once: bool = False) -> None:
        """Begins to stop: refuses new calls, and answers those in flight unless `at_once` is true."""
        if self._server is None:
            return  # the signal came while the models were loading; `stopped` calls this again
        self._face.close()
        self._stopping = asyncio.ensure_future(self._server.stop(0.0 if at_once else self._grace))

    async def stopped(self) -> None:
        """Stops, if `stop` was not called, and returns when no call is in flight any more."""
        if self._stopping is None:
            self.stop()
        assert self._stopping is not None
        await self._stopping
        for task in self._tasks:
            task.cancel()


async def _bound_memory() -> None:
    """Returns free memory to the system at intervals, if this process has much more than at its start.

    What many concurrent calls needed, including their metadata, lies in fragments between live objects, and the C
    library would keep it.
    """
    start = _resident_bytes()
    while True:
        await asyncio.sleep(MEMORY_LOOKS)
        if _resident_bytes() > start + MEMORY_FREE:
            await asyncio.to_thread(give_back)


def _resident_bytes() -> int:
    """The resident memory of this process, as Linux reports it; 0 on other systems."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _is_no_client_that_left(record: logging.LogRecord) -> bool:
    """Whether grpc.aio logs anything but an answer that could not be sent, which any client can cause."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, grpc.aio.InternalError)


def _options(settings: Settings) -> list[tuple[str, Any]]:
    """The options of gRPC core.

    Core itself limits pings and other frames that need an answer (it stops reading at 10,000 unanswered ones), and
    streams that are opened and reset (they count as open until they are freed).

    By default, core ends a connection at the third ping that comes too soon. But it first waits for the answers to
    pings that still arrive, and each ping adds a sentence to the reason for the end, which is copied each time. So this
    is off.

    The limits of metadata apply once the client has acknowledged them. Until then core accepts 16 MiB in one header
    block, and no option changes that. So the time until the acknowledgement is limited.
    """
    most_metadata = settings.max_header_bytes + HEADER_ROOM
    return [
        ("grpc.so_reuseport", 1),  # the port is shared with the socket that reserves it, and with other workers
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.per_message_decompression", 0),  # core decompresses without a limit; `GrpcFace` has one
        ("grpc.max_metadata_size", most_metadata),
        ("grpc.absolute_max_metadata_size", most_metadata),
        ("grpc.max_concurrent_streams", settings.max_grpc_streams),
        ("grpc.max_allowed_incoming_connections", _most_connections()),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE),
        ("grpc.http2.settings_timeout", HANDSHAKE),
        ("grpc.max_connection_idle_ms", IDLE),
        ("grpc.server_max_unrequested_time_in_server", ceil(settings.request_timeout)),
        ("grpc.keepalive_time_ms", KEEP_ALIVE),
        ("grpc.keepalive_timeout_ms", PATIENCE),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 0),  # ending a connection for its pings costs 7 times as much as answering
    ]


def _most_connections() -> int:
    """At most half of the files that this process may open: the other half is for HTTP, models and stores."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if most == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, max(1, most // 2))
