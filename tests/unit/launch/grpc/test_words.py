"""The words of gRPC over HTTP/2: messages in pieces, timeouts, metadata, sentences in a header."""

from __future__ import annotations

import re
from base64 import b64encode
from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.errors import PredictionError
from mlpatterns.launch.grpc.answer import percent_encoded, trailers
from mlpatterns.launch.grpc.framing import Assembly, framed
from mlpatterns.launch.grpc.head import Malformed, Refused, read_head, seconds_of
from mlpatterns.oip.limits import Limits
from mlpatterns.server.exchange import Buffers

BASE = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/B"), (b"te", b"trailers"),
        (b"content-type", b"application/grpc")]  # fmt: skip


class Holder:
    held = 0


def buffers(most: int = 1000) -> Buffers:
    return Buffers(Limits(max_body_bytes=most), 10 * most, offload=None)  # type: ignore[arg-type]


@given(st.binary(max_size=200), st.lists(st.integers(0, 205), max_size=8))
def test_a_message_is_the_same_in_whatever_pieces_and_counts_as_it_comes(message: bytes, cuts: list[int]) -> None:
    held, holder = buffers(), Holder()
    assembly, whole = Assembly(held, holder), framed(message)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(whole)), len(whole)]
    for start, end in pairwise(edges):
        assembly.take(whole[start:end])
        assert held.held == holder.held == max(0, end - 5)
    assert assembly.message() == message
    held.release(holder)
    assert held.held == 0


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_bytes_of_any_kind_are_a_message_or_are_refused(pieces: list[bytes]) -> None:
    assembly = Assembly(buffers(30), Holder())
    try:
        for piece in pieces:
            assembly.take(piece)
        message = assembly.message()
    except (Refused, PredictionError):
        return
    assert b"".join(pieces)[5:] == message


@given(st.integers(0, 99_999_999), st.sampled_from("HMSmun"))
def test_a_timeout_is_seconds(count: int, unit: str) -> None:
    seconds = {"H": 3600, "M": 60, "S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}[unit]
    assert seconds_of(b"%d%b" % (count, unit.encode())) == pytest.approx(count * seconds)


@given(st.binary(max_size=12))
def test_what_is_no_timeout_is_refused(timeout: bytes) -> None:
    if not re.fullmatch(rb"[0-9]{1,8}[HMSmun]", timeout):
        with pytest.raises(Refused, match="grpc-timeout must be"):
            seconds_of(timeout)


@given(st.text())
def test_any_sentence_comes_back_out_of_a_header(sentence: str) -> None:
    said = percent_encoded(sentence)
    assert all(0x20 <= byte < 0x7F for byte in said)
    assert unquote(said.decode()) == sentence.encode("utf-8", "replace").decode()


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4), st.booleans())
def test_binary_metadata_comes_with_or_without_padding_and_several_in_one(values: list[bytes], padded: bool) -> None:
    coded = [b64encode(value) if padded else b64encode(value).rstrip(b"=") for value in values]
    head = read_head([*BASE, (b"x-bin", b",".join(coded))])
    assert list(head.metadata) == [(b"x-bin", value) for value in values]


def test_binary_metadata_goes_out_in_base64() -> None:
    assert (b"x-bin", b"AP8") in trailers("OK", "", ((b"x-bin", b"\0\xff"),))
    assert (b"x", b"1") in trailers("OK", "", ((b"x", b"1"),))


def test_a_repeated_name_keeps_its_values_in_order_and_its_last_by_name() -> None:
    head = read_head([*BASE, (b"a", b"1"), (b"a", b"2")])
    assert (list(head.metadata), head.headers[b"a"]) == ([(b"a", b"1"), (b"a", b"2")], b"2")


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=6), st.booleans())
def test_any_fields_are_a_head_or_are_refused(fields: list[tuple[bytes, bytes]], based: bool) -> None:
    try:
        head = read_head([*BASE, *fields] if based else fields)
    except (Malformed, Refused):
        return
    assert all(b"\n" not in value and b"\0" not in value for name, value in head.metadata if not name.endswith(b"-bin"))
