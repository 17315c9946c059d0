"""What a gRPC client may send, in whatever pieces, and what it gets for it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import numpy as np
import pytest

from mlpatterns.launch.grpc.framing import framed
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.settings import Settings
from mlpatterns.testing import SlowModel
from unit.launch.grpc.talking import INFER, Talk, frame, talking
from unit.server.doubles import iris
from unit.server.grpc_asking import iris_request

ROW: bytes = iris_request().SerializeToString()


def probabilities(data: bytes) -> list[float]:
    """Of the one message that came back."""
    assert data[:1] == b"\0"
    assert int.from_bytes(data[1:5], "big") == len(data) - 5
    answer = messages.ModelInferResponse.FromString(data[5:])
    return list(np.frombuffer(answer.raw_output_contents[0], "<f4").tolist())


def test_a_call_is_answered_however_its_bytes_are_cut() -> None:
    async def test(talk: Talk) -> None:
        for size in (1, 2, 3, 7, 9, 24, 33, 64, 1000):
            stream = talk.client.get_next_available_stream_id()
            talk.client.send_headers(stream, HEADERS)
            whole = framed(ROW)
            talk.client.send_data(stream, whole[:3])
            talk.client.send_data(stream, whole[3:], end_stream=True)
            sent = talk.client.data_to_send()
            for at in range(0, len(sent), size):
                talk.say(sent[at : at + size])
            ended = await talk.until_over(stream)
            assert (ended.status, probabilities(ended.data)) == (b"0", [0.75, 0.125, 0.125])
            assert ended.get(b"x-mlp-prediction-id")

    talking(test, iris())


HEADERS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", INFER.encode()), (b":authority", b"x"),
           (b"te", b"trailers"), (b"content-type", b"application/grpc")]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", b"12"),  # none, or two, where a method has one: UNIMPLEMENTED, as gRPC's own servers say
        (framed(ROW) * 2, b"12"),
        (framed(ROW)[:4], b"13"),
        (framed(ROW)[:-1], b"13"),
        (b"\2" + framed(ROW)[1:], b"13"),
        (b"\1" + framed(ROW)[1:], b"13"),  # it says that it is packed, and nobody says how
        (framed(b"\xff\xff"), b"3"),
    ],
    ids=["none", "two", "part of a prefix", "cut short", "no such flag", "packed somehow", "no protobuf"],
)
def test_what_is_not_one_message_gets_a_status_and_the_connection_goes_on(body: bytes, status: bytes) -> None:
    async def test(talk: Talk) -> None:
        ended = await talk.until_over(talk.open(body=body))
        assert (ended.status, ended.data) == (status, b"")
        assert (await talk.until_over(talk.open(body=framed(ROW)))).status == b"0"

    talking(test, iris())


@pytest.mark.parametrize(
    ("changed", "http", "status"),
    [
        ({"content_type": "application/json"}, b"415", b"3"),
        ({"content_type": None}, b"415", b"3"),
        ({"content_type": "application/grpc+proto"}, b"200", b"0"),
        ({"content_type": "application/grpc+json"}, b"415", b"3"),
        ({"__method": "GET"}, b"405", b"13"),
        ({"te": None}, b"400", b"13"),
        ({"path": "/nobody/Knows"}, b"200", b"12"),
        ({"grpc_timeout": "1x"}, b"200", b"3"),
        ({"grpc_timeout": "123456789S"}, b"200", b"3"),
        ({"grpc_timeout": "20S"}, b"200", b"0"),
        ({"x_bin": "%%%"}, b"200", b"3"),
        ({"x_bin": "AAE"}, b"200", b"0"),
    ],
)
def test_what_grpc_does_not_allow_is_refused_in_its_words(changed: dict[str, Any], http: bytes, status: bytes) -> None:
    async def test(talk: Talk) -> None:
        ended = await talk.until_over(talk.open(body=framed(ROW), **changed))
        assert (ended.get(b":status"), ended.status) == (http, status)
        assert (await talk.until_over(talk.open(body=framed(ROW)))).status == b"0"

    talking(test, iris())


@pytest.mark.parametrize("name", [b"Upper", b"connection", b"transfer-encoding", b":status", b"sp ace", b""])
def test_headers_that_http_2_forbids_end_their_stream_only(name: bytes) -> None:
    async def test(talk: Talk) -> None:
        stream = talk.client.get_next_available_stream_id()
        talk.client.send_headers(stream, [*HEADERS, (name, b"1")], end_stream=True)
        talk.say()
        assert (await talk.until_over(stream)).reset == 1  # PROTOCOL_ERROR
        assert (await talk.until_over(talk.open(body=framed(ROW)))).status == b"0"

    talking(test, iris())


def packed(body: bytes) -> bytes:
    return b"\1" + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", packed(gzip.compress(ROW)), b"0"),
        ("deflate", packed(zlib.compress(ROW)), b"0"),
        ("identity", framed(ROW), b"0"),
        ("gzip", framed(ROW), b"0"),  # it may be packed, and says that it is not
        ("snappy", packed(ROW), b"12"),
        ("gzip", packed(b"no gzip"), b"3"),
        ("gzip", packed(gzip.compress(bytes(9_000_000))), b"8"),
    ],
    ids=["gzip", "deflate", "identity", "gzip that is not used", "unknown", "not gzip", "a bomb"],
)
def test_packed_messages_are_unpacked_within_bounds(encoding: str, body: bytes, status: bytes) -> None:
    async def test(talk: Talk) -> None:
        ended = await talk.until_over(talk.open(body=body, grpc_encoding=encoding))
        assert ended.status == status
        assert (ended.get(b"grpc-accept-encoding") is None) == (status != b"12")

    talking(test, iris(), settings=Settings(max_body_bytes=2_000_000))


def test_a_message_too_large_is_refused_at_its_first_bytes() -> None:
    async def test(talk: Talk) -> None:
        stream = talk.open(body=b"\0" + (1001).to_bytes(4, "big"), end=False)
        ended = await talk.until_over(stream)
        assert ended.status == b"8"
        assert talk.served.buffers.held == 0

    talking(test, iris(), settings=Settings(max_body_bytes=1000))


def test_what_has_come_of_messages_counts_until_they_are_answered_or_given_up() -> None:
    async def test(talk: Talk) -> None:
        stream = talk.open(body=b"\0" + (5000).to_bytes(4, "big") + bytes(3000), end=False)
        assert talk.served.buffers.held == 3000
        talk.client.reset_stream(stream, 8)
        talk.say()
        assert talk.served.buffers.held == 0

    talking(test, iris())


def test_messages_that_are_too_much_together_are_refused_and_not_held() -> None:
    async def test(talk: Talk) -> None:
        begun = b"\0" + (6000).to_bytes(4, "big") + bytes(6000)
        first = talk.open(body=begun[:-1], end=False)
        second = await talk.until_over(talk.open(body=begun, end=False))
        assert second.status == b"14"  # UNAVAILABLE: another time
        assert second.get(b"grpc-retry-pushback-ms")
        assert first in talk.connection.calls

    talking(test, iris(), settings=Settings(max_held_bytes=8000, max_body_bytes=7000))


def test_a_client_that_takes_nothing_is_given_up_when_its_time_is_over() -> None:
    async def test(talk: Talk) -> None:
        talk.client.update_settings({4: 0})  # INITIAL_WINDOW_SIZE
        talk.say()
        await talk.read()
        ended = await talk.until_over(talk.open(body=framed(ROW), grpc_timeout="50m"))
        assert (ended.data, ended.reset) == (b"", 8)  # CANCEL

    talking(test, iris())


def test_an_answer_goes_out_as_the_client_makes_room_for_it() -> None:
    async def test(talk: Talk) -> None:
        talk.client.update_settings({4: 10})
        talk.say()
        await talk.read()
        stream = talk.open(body=framed(ROW))
        ended = await talk.until_over(stream)  # which gives back what it has read, some bytes at a time
        assert probabilities(ended.data) == [0.75, 0.125, 0.125]

    talking(test, iris())


def test_a_client_that_leaves_takes_its_work_along() -> None:
    async def test(talk: Talk) -> None:
        asked = iris_request(model="slow").SerializeToString()
        stream = talk.open(body=framed(asked))
        await talk.read()
        [call] = talk.connection.calls.values()
        talk.client.reset_stream(stream, 8)
        talk.say()
        assert call.ended
        await talk.read()
        assert not talk.connection.calls

    talking(test, SlowModel(seconds=3600))


def test_a_server_that_goes_answers_what_is_on_its_way_and_nothing_after_it() -> None:
    async def test(talk: Talk) -> None:
        first = talk.open(body=framed(ROW)[:9], end=False)
        await talk.read()
        talk.connection.drain()
        await talk.read()
        late = talk.open(body=framed(ROW))  # it had not heard of it: RFC 9113, 6.8
        assert (await talk.until_over(late)).status == b"0"
        talk.say_if_any()  # the answer to its ping
        await talk.read()
        assert talk.goaways == [0, 0]
        assert not talk.transport.closed
        talk.connection.calls[first].take(framed(ROW)[9:])
        talk.connection.calls[first].finish()
        await talk.read()
        assert talk.streams[first].status == b"0"
        assert talk.transport.closed

    talking(test, iris())


def test_a_client_that_says_it_goes_is_answered_and_then_let_go() -> None:
    async def test(talk: Talk) -> None:
        stream = talk.open(body=framed(ROW))
        talk.say(frame(7, payload=bytes(8)))  # GOAWAY
        await asyncio.sleep(0)
        assert (await talk.until_over(stream)).status == b"0"
        assert talk.transport.closed

    talking(test, iris())
