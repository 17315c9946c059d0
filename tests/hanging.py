"""Servers that accept connections but answer too slowly or never, and files that never end."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest

from mlpatterns.stores.objects_s3 import S3Objects

__all__ = ["endless_files", "hanging", "trickling"]


@contextmanager
def hanging() -> Iterator[int]:
    """The port of a server that never answers. The operating system accepts connections for it, as for a stopped
    process."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@contextmanager
def trickling(size: int, pauses: Iterator[float]) -> Iterator[int]:
    """The port of an HTTP server that announces `size` bytes in each answer and sends one byte after each pause; after
    the last pause it sends no more."""
    fields = ("content-length: {size}", "last-modified: Wed, 21 Oct 2015 07:28:00 GMT", 'etag: "x"')
    head = "\r\n".join(("HTTP/1.1 200 OK", *fields, "", "")).format(size=size)
    kept = list[socket.socket]()

    def serve(server: socket.socket) -> None:
        with suppress(OSError):  # the test is over
            while True:
                connection, _ = server.accept()
                kept.append(connection)
                connection.recv(65_536)
                connection.sendall(head.encode())
                for pause in pauses:
                    time.sleep(pause)
                    connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        thread = Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for connection in kept:
        connection.close()
    thread.join(10)


def endless_files(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Makes every file in S3 except manifests endless; returns an event that is set when the first such read begins."""
    began, chunks = Event(), S3Objects.chunks

    def endless(store: S3Objects, key: str, most: int) -> Iterator[bytes]:
        if key.endswith("manifest.json"):
            yield from chunks(store, key, most)
        while not key.endswith("manifest.json"):
            began.set()
            yield b"more"

    monkeypatch.setattr(S3Objects, "chunks", endless)
    return began
