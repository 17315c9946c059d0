"""Clients that do not take their answers: HTTP/2 by hand, since no client of gRPC's own can be made to stop reading."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import closing

import numpy as np
import pytest
from benchmarks.http2 import DATA, END_STREAM, HEADERS, WINDOW_UPDATE, Headers, frame, greeting, split

from mlpatterns import PythonModel, TensorSpec
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.server.grpc import stalled
from mlpatterns.server.grpc.stalled import sockets_of
from mlpatterns.settings import Settings
from unit.server.grpc.asking import Asking, asking, iris_request

SIZE = 50_000  # floats of an answer: 200 KB
STEP = 20_000  # bytes that the slow reader takes at a time
PATIENCE = 0.6  # seconds that the server has with who takes nothing
SETTINGS = Settings(send_timeout=PATIENCE)


def large() -> PythonModel:
    return PythonModel(
        lambda: None, lambda _, inputs: {"output": np.zeros((1, SIZE), np.float32)}, name="large",
        inputs=[TensorSpec("input", "FP32", (-1, 2))], outputs=[TensorSpec("output", "FP32", (-1, -1))],
    )  # fmt: skip


class Reader:
    """A client that calls once, and takes of the answer what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._came = bytearray()
        self._headers, self._stream = Headers(f"/{SERVICE}/ModelInfer", "localhost"), -1
        self.taken, self.ended = 0, False

    @classmethod
    async def call(cls, port: int, window: int = 0) -> Reader:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client._writer.write(greeting(window))
        client.call_again()
        return client

    def call_again(self) -> None:
        message = iris_request([(1, 2)], model="large").SerializeToString()
        body = b"\0" + len(message).to_bytes(4, "big") + message
        self._stream += 2
        head = self._headers.frame(self._stream)
        self._writer.write(head + frame(DATA, END_STREAM, self._stream, body))

    def allow(self, size: int) -> None:
        self._writer.write(frame(WINDOW_UPDATE, 0, 1, size.to_bytes(4, "big")))

    async def read(self, seconds: float) -> bool:
        """Reads so long; whether the server has closed the connection."""
        try:
            async with asyncio.timeout(seconds):
                while data := await self._reader.read(1 << 16):
                    self._came += data
                    for kind, flags, _, payload in split(self._came):
                        self.taken += len(payload) if kind == DATA else 0
                        self.ended |= kind == HEADERS and bool(flags & END_STREAM)
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        return True

    def close(self) -> None:
        self._writer.close()


def held(ask: Asking) -> int:
    """Bytes that the server counts, of requests and answers."""
    assert ask.app._open is not None
    return ask.app._open[1].held


@pytest.mark.parametrize("window", [0, 1000])
def test_a_client_that_does_not_take_its_answer_is_let_go_and_its_bytes_are_free(
    window: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(ask: Asking) -> None:
        client = await Reader.call(ask.port, window)
        assert not await client.read(PATIENCE / 2)
        assert held(ask) >= 4 * SIZE
        assert await client.read(10 * PATIENCE), "the server has closed the connection"
        assert not client.ended
        client.close()
        await asyncio.sleep(0.1)
        assert held(ask) == 0
        assert await ask.infer(iris_request([(1, 2)], model="large")), "others are answered"

    asking(test, large(), settings=SETTINGS)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it() -> None:
    async def test(ask: Asking) -> None:
        client = await Reader.call(ask.port)
        while not client.ended:
            client.allow(STEP)
            assert not await client.read(PATIENCE / 3)
        assert client.taken > 4 * SIZE
        await asyncio.sleep(0.1)
        assert held(ask) == 0
        client.close()

    asking(test, large(), settings=SETTINGS)


def test_no_answer_is_on_its_way_for_ever_however_steadily_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled, "LONGEST", 1)

    async def test(ask: Asking) -> None:
        client = await Reader.call(ask.port)
        for _ in range(50):
            client.allow(1000)
            if await client.read(PATIENCE / 10):
                break
        assert 0 < client.taken < 4 * SIZE
        assert not client.ended
        client.close()

    asking(test, large(), settings=SETTINGS)


def test_a_connection_that_keeps_many_bytes_waiting_gets_no_more_and_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled, "PROMPT", 0.1)

    async def test(ask: Asking) -> None:
        client = await Reader.call(ask.port)
        await client.read(0.2)
        before = held(ask)
        client.call_again()
        await client.read(0.2)
        assert client.ended, "the second call is refused: an error is no DATA, which the window of 0 would hold back"
        assert held(ask) == before
        assert await ask.infer(iris_request([(1, 2)], model="large")), "others are answered"
        client.close()

    asking(test, large(), settings=Settings(max_held_bytes=8 * 2 * 6 * SIZE))


def test_only_sockets_of_the_named_clients_and_of_the_port_are_found() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_server(("127.0.0.1", 0))) as other,
    ):
        port = server.getsockname()[1]
        with (
            closing(socket.create_connection(("127.0.0.1", port))) as client,
            closing(server.accept()[0]) as accepted,
            closing(socket.create_connection(("127.0.0.1", port))) as second,
            closing(server.accept()[0]),
        ):
            wanted = client.getsockname()
            [(address, found)] = list(sockets_of({wanted}, port))
            assert address == wanted
            assert list(sockets_of({wanted}, other.getsockname()[1])) == []
            assert found.fileno() == -1, "the duplicate is closed after its turn"
            for _, connection in sockets_of({wanted}, port):
                connection.shutdown(socket.SHUT_RDWR)
            assert client.recv(1) == b""
            assert accepted.fileno() != -1
            second.sendall(b"it lives")
