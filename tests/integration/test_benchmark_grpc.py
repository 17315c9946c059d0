"""The load over gRPC, whose frames are written by hand, against gRPC's own server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import grpc
import pytest
from benchmarks.grpc_connection import ask_once
from benchmarks.grpc_load import CONNECTIONS, STREAMS, shoot_for

LARGE = bytes(range(256)) * 2400  # 614,400 bytes: more than any window that a server begins with


class Counter:
    """A service that echoes, counts what it answered, and refuses one method."""

    def __init__(self) -> None:
        self.answered = 0
        self._lock = Lock()

    def echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self.answered += 1
        return request

    def refuse(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        raise AssertionError("abort has raised")


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def port(counter: Counter) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(counter.echo),
        "Refuse": grpc.unary_unary_rpc_method_handler(counter.refuse),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    found = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found
    server.stop(None).wait()


@pytest.mark.parametrize("message", [b"", b"a row", LARGE], ids=["empty", "small", "larger than a window"])
def test_an_answer_is_the_message_that_the_server_sent(port: int, message: bytes) -> None:
    assert ask_once(port, "/test.Service/Echo", message) == message


def test_the_server_has_answered_what_the_load_counts(port: int, counter: Counter) -> None:
    shot = shoot_for(0.3, port, "/test.Service/Echo", b"a row")
    assert shot.requests == counter.answered >= CONNECTIONS * STREAMS
    assert (shot.refused, shot.broken) == (0, 0)
    assert 0 < shot.p50 <= shot.p99


def test_messages_larger_than_the_windows_all_arrive(port: int, counter: Counter) -> None:
    shot = shoot_for(0.3, port, "/test.Service/Echo", LARGE)
    assert shot.requests == counter.answered >= CONNECTIONS * STREAMS
    assert (shot.refused, shot.broken) == (0, 0)


@pytest.mark.parametrize("method", ["/test.Service/Refuse", "/test.Service/Unknown"])
def test_an_error_is_counted_as_refused(port: int, method: str) -> None:
    assert ask_once(port, method, b"a row") is None
    shot = shoot_for(0.1, port, method, b"a row")
    assert shot.refused == shot.requests > 0


def test_a_server_that_is_not_there_is_an_error(port: int) -> None:
    with pytest.raises(OSError, match="refused"):
        ask_once(1, "/test.Service/Echo", b"")
