"""Two well-behaved clients, one over gRPC and one over HTTP. Each keeps its connection, and opens a new one when it
breaks."""

from __future__ import annotations

import http.client

from benchmarks.grpc_connection import PATIENCE, Connection
from benchmarks.messages import INFER

__all__ = ["GrpcClient", "HttpClient"]


class GrpcClient:
    """Sends one ModelInferRequest again and again."""

    def __init__(self, port: int, message: bytes) -> None:
        self._port, self._message = port, message
        self._connection: Connection | None = None

    def ask(self) -> bool:
        """Whether one call was answered as it should."""
        try:
            if self._connection is None:
                self._connection = Connection(self._port, INFER, self._message)
            wrong = self._connection.refused + self._connection.broken
            self._connection.call()
            while not self._connection.idle:
                self._connection.read()
        except OSError:
            self.close()
            return False
        return self._connection.refused + self._connection.broken == wrong

    def close(self) -> None:
        if self._connection is not None:
            self._connection.socket.close()
        self._connection = None


class HttpClient:
    """Asks for `/health/live` again and again."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def ask(self) -> bool:
        """Whether one request was answered as it should."""
        try:
            self._connection.request("GET", "/health/live")
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return False
        return answer.status == 200

    def close(self) -> None:
        self._connection.close()
