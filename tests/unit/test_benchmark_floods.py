"""What the floods of grpc_floods send."""

from __future__ import annotations

import socket
import threading

from benchmarks.grpc_flood import flood_for
from benchmarks.grpc_flood_frames import FLOODS
from benchmarks.http2 import SETTINGS, frame


def test_a_silent_client_does_not_even_acknowledge_the_settings() -> None:
    """An acknowledgement without the preface is an error, for which a server closes the connection at once."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(frame(SETTINGS, 0, 0))
                received.append(connection.recv(100))  # empty when the client leaves

        thread = threading.Thread(target=serve)
        thread.start()
        flood = FLOODS["silent connections"]
        port = server.getsockname()[1]
        flood_for(type(flood)(flood.bursts, greets=flood.greets), port, seconds=0.3, connections=1, message=b"")
        thread.join()
    assert received == [b""]
