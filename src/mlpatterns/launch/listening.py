"""The ports of a server: their sockets, their URLs, and the errors if it cannot listen there."""

from __future__ import annotations

import socket as sockets
import ssl
from typing import Any

from mlpatterns.settings import Settings
from mlpatterns.user_errors import AddressInUse, SettingsError

__all__ = ["BACKLOG", "NoPorts", "Ports", "check_certificate", "numeric_host"]

BACKLOG = 2048


class Ports:
    """The HTTP port of a server, and its gRPC port if the settings have one. Port 0 takes a free port.

    Args:
        http: in a worker, the listening socket of its supervisor. The supervisor also reserves the gRPC port.

    Raises:
        AddressInUse: another process listens there.
        SettingsError: the host is not an address of this machine, or the certificate is not usable.
    """

    def __init__(self, settings: Settings, http: sockets.socket | None = None) -> None:
        check_certificate(settings)
        self.http = http or listen(settings)
        self.grpc = settings.grpc_port
        self._held: sockets.socket | None = None
        if self.grpc is not None and http is None:
            try:
                self._held = reserve(settings)
            except BaseException:
                self.http.close()
                raise
            self.grpc = self._held.getsockname()[1]
        self._settings = settings

    @property
    def sockets(self) -> list[sockets.socket]:
        """The listening sockets for HTTP."""
        return [self.http]

    def __str__(self) -> str:
        """The URLs of the ports, for the log."""
        there = address(self._settings, self.http)
        return there if self._held is None else f"{there} and {address(self._settings, self._held, 'grpc')}"

    def close(self) -> None:
        self.http.close()
        if self._held is not None:
            self._held.close()


class NoPorts(Ports):
    """The ports of a process that does not listen."""

    def __init__(self) -> None:
        self.grpc = None

    @property
    def sockets(self) -> list[sockets.socket]:
        return []

    def __str__(self) -> str:
        return "no port"

    def close(self) -> None:
        """Does nothing."""


def check_certificate(settings: Settings) -> None:
    """Checks the TLS certificate and its key, if they are set: the errors of uvicorn and gRPC do not say what is wrong.

    Raises:
        SettingsError: a file cannot be read, is not PEM or needs a passphrase, or the two do not belong together.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    for name, path in (("tls_certificate", settings.tls_certificate), ("tls_key", settings.tls_key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise SettingsError(f"{name}: {path} cannot be read: {error.strerror}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")  # without it, a prompt appears
    except (ssl.SSLError, ValueError):
        raise SettingsError(
            "tls_certificate and tls_key cannot be used: set both to PEM files that belong together, the key without a "
            "passphrase"
        ) from None


def listen(settings: Settings) -> sockets.socket:
    """A listening socket for HTTP."""
    socket = _bound(settings, settings.port, "--port")
    socket.listen(BACKLOG)
    return socket


def reserve(settings: Settings) -> sockets.socket:
    """A socket that reserves the gRPC port and does not listen.

    grpc.aio accepts no open socket, so each worker opens the port itself, and the kernel distributes the connections.
    Whether another program listens on the port is checked here, once for all workers.
    """
    port = settings.grpc_port or 0
    _bound(settings, port, "--grpc-port").close()  # without SO_REUSEPORT, with which a port in use may seem free
    return _bound(settings, port, "--grpc-port", shared=True)


def address(settings: Settings, socket: sockets.socket, scheme: str = "http") -> str:
    """The URL of a socket; `scheme` gets an s if there is a certificate."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - shown, not bound
    named = f"[{host}]" if ":" in host else host
    return f"{scheme}{'s'[: settings.tls_certificate is not None]}://{named}:{socket.getsockname()[1]}"


def numeric_host(settings: Settings) -> str:
    """The numeric address of the host, as it is written before a colon and a port."""
    host = str(_found(settings, 0)[4][0])
    return f"[{host}]" if ":" in host else host


def _bound(settings: Settings, port: int, flag: str, *, shared: bool = False) -> sockets.socket:
    family, kind, protocol, _, where = _found(settings, port)
    socket = sockets.socket(family, kind, protocol)
    socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    if shared:
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEPORT, 1)
    try:
        socket.bind(where)
    except PermissionError:
        socket.close()
        raise SettingsError(f"port {port} needs more rights; choose a port above 1023") from None
    except OSError as error:
        socket.close()
        if error.errno == 98 or "in use" in str(error):
            raise AddressInUse(
                f"port {port} is taken; stop the program that listens there, or choose another port with {flag}"
            ) from None
        raise SettingsError(f"{settings.host}:{port} is not an address to listen on: {error.strerror}") from None
    return socket


def _found(settings: Settings, port: int) -> Any:
    try:
        found = sockets.getaddrinfo(settings.host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE)
    except sockets.gaierror:
        raise SettingsError(f"the host {settings.host!r} cannot be resolved") from None
    return found[0]
