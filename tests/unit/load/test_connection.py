"""Whatever bytes a server sends, and however they are cut: each request has one outcome, and no error escapes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.load.connection import Connection, PlannedRequest

ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, 2),
    (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n!\r\n0\r\nx: y\r\n\r\n", 503, 3),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, 0),
    (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, 13),
]


class Transport:
    """What the connection does to its socket."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed


class Told:
    """The owner of a connection: what it was told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[int, int] | str] = []
        self.closings = 0

    def opened(self, connection: Connection) -> None:
        pass

    def answered(self, connection: Connection, request: PlannedRequest, status: int, received: int) -> None:
        self.outcomes.append((status, received))

    def failed(self, request: PlannedRequest, why: str) -> None:
        self.outcomes.append(why)

    def closed(self, connection: Connection) -> None:
        self.closings += 1


def outcome(answer: bytes, cuts: list[int]) -> tuple[Told, Transport]:
    """One request, and its answer in pieces, until its end or that of the connection."""
    told, transport = Told(), Transport()
    connection: Any = Connection(told)
    connection.connection_made(transport)
    connection.send(PlannedRequest(b"GET", False, 0.0, None))
    places = sorted({cut % (len(answer) + 1) for cut in cuts} | {0, len(answer)})
    for begin, end in pairwise(places):
        if not transport.closed:
            connection.data_received(answer[begin:end])
    connection.connection_lost(None)
    return told, transport


@pytest.mark.parametrize(("answer", "status", "received"), ANSWERS)
@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 1000), max_size=6))
def test_an_answer_is_the_same_however_it_is_cut(answer: bytes, status: int, received: int, cuts: list[int]) -> None:
    told, transport = outcome(answer, cuts)
    assert (told.outcomes, told.closings, transport.written) == ([(status, received)], 1, b"GET")


@settings(max_examples=200)
@given(
    st.sampled_from([answer for answer, _, _ in ANSWERS]),
    st.lists(st.tuples(st.integers(0, 100), st.binary(max_size=4)), max_size=4),
    st.lists(st.integers(0, 1000), max_size=3),
)
def test_whatever_comes_a_request_has_one_outcome(
    answer: bytes, changes: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    for at, bytes_there in changes:
        answer = answer[:at] + bytes_there + answer[at + 1 :]
    told, _ = outcome(answer, cuts)
    assert len(told.outcomes) == 1
    assert told.closings == 1


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    """Or they would be taken for the answer to the next request."""
    told, transport = Told(), Transport()
    connection: Any = Connection(told)
    connection.connection_made(transport)
    connection.data_received(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert transport.closed
    assert told.outcomes == []
