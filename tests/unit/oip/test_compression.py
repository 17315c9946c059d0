"""Compressed bodies come back whole, and bombs die early."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput, PredictionError, TooLarge, Unsupported
from mlpatterns.oip.compression import FREE, MOST_MEMBERS, compress, decompress

Pack = Callable[[bytes], bytes]
MIB = 1024 * 1024
TEXT = b"a tensor " * 500


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


def unpack(body: bytes, encoding: str, max_bytes: int = MIB, max_expansion: int = 100) -> bytes:
    return decompress(body, encoding, max_bytes, max_expansion)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(gzip.compress(TEXT, mtime=0), "gzip"), (gzip.compress(TEXT, mtime=0), " X-GZIP "),
     (zlib.compress(TEXT), "deflate"), (raw_deflate(TEXT), "deflate"), (TEXT, "identity"), (TEXT, "")],
)  # fmt: skip
def test_each_coding_unpacks(body: bytes, encoding: str) -> None:
    assert unpack(body, encoding) == TEXT


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
def test_an_empty_body_may_be_compressed(pack: Pack) -> None:
    assert unpack(pack(b""), "gzip" if pack is gzip.compress else "deflate") == b""


def test_the_members_of_a_gzip_body_follow_each_other() -> None:
    assert unpack(gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two"), "gzip") == b"one two"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, deflate", "gzip;q=1", "\x00"])
def test_an_unknown_coding_is_unsupported(encoding: str) -> None:
    with pytest.raises(Unsupported, match="gzip, deflate or identity"):
        unpack(TEXT, encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"", b"\x00", b"\x78", b"not compressed", b"\x1f\x8b\x08"])
def test_what_is_not_compressed_is_invalid(body: bytes, encoding: str) -> None:
    with pytest.raises(InvalidInput):
        unpack(body, encoding)


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_body_cut_short_corrupt_or_followed_by_more_is_invalid(pack: Pack, encoding: str) -> None:
    body: bytes = pack(TEXT)
    for wrong in (body[:-1], body[: len(body) // 2], body + b"x", body[:-6] + b"\x00" + body[-5:]):
        with pytest.raises(InvalidInput):
            unpack(wrong, encoding)


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate"),
                                                (raw_deflate, "deflate")])  # fmt: skip
def test_a_bomb_dies_early_in_bounded_memory(pack: Pack, encoding: str) -> None:
    bomb: bytes = pack(bytes(32 * MIB))
    tracemalloc.start()
    with pytest.raises(TooLarge, match="decompressed"):
        unpack(bomb, encoding, max_bytes=MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


def test_a_bomb_spread_over_members_counts_as_one() -> None:
    with pytest.raises(TooLarge):
        unpack(gzip.compress(bytes(MIB)) * 3, "gzip", max_bytes=2 * MIB)


def test_members_that_hold_nothing_are_bounded() -> None:
    empty = gzip.compress(b"")
    assert unpack(empty * MOST_MEMBERS, "gzip") == b""
    with pytest.raises(InvalidInput, match="members"):
        unpack(empty * (MOST_MEMBERS + 1), "gzip")


def test_expansion_counts_only_past_what_does_no_harm() -> None:
    assert len(unpack(gzip.compress(bytes(FREE)), "gzip", 64 * MIB, max_expansion=2)) == FREE
    with pytest.raises(TooLarge):
        unpack(gzip.compress(bytes(FREE + 1)), "gzip", 64 * MIB, max_expansion=2)


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
@pytest.mark.parametrize("rows", [1, 16])
def test_tensors_of_zeros_are_no_bomb(pack: Pack, encoding: str, rows: int) -> None:
    images = np.zeros((rows, 3, 224, 224), np.float32).tobytes()
    packed = pack(images)
    assert len(images) > 500 * len(packed)
    assert unpack(packed, encoding, 64 * MIB) == images


def test_a_bomb_of_ten_gigabytes_is_cut_at_once_and_says_where() -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = engine.compress(bytes(MIB)) + engine.flush(zlib.Z_FULL_FLUSH)
    block = engine.compress(bytes(MIB)) + engine.flush(zlib.Z_FULL_FLUSH)
    bomb = head + block * 10_000  # it need not be made whole to be one: a stream may repeat what was flushed
    tracemalloc.start()
    with pytest.raises(TooLarge, match=f"the decompressed body is larger than {64 * MIB} bytes"):
        unpack(bomb, "gzip", 64 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 70 * MIB


def test_a_body_may_be_exactly_as_large_as_allowed() -> None:
    assert unpack(gzip.compress(TEXT, mtime=0), "gzip", max_bytes=len(TEXT)) == TEXT
    with pytest.raises(TooLarge):
        unpack(gzip.compress(TEXT, mtime=0), "gzip", max_bytes=len(TEXT) - 1)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("DEFLATE;q=0.9, GZIP ; q=0.5", "deflate"),
        ("gzip;q=0, deflate;q=0.1", "deflate"),
        ("gzip;q=0, *", "deflate"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0", None),
        ("", None),
        ("br, zstd", None),
        ("identity", None),
        ("gzip;q=0.5, identity;q=1", None),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=two", None),
        ("gzip;q=9", None),
        ("gzip;q=nan", None),
        ("gzip;level=1", None),
        (",,;q=1,", None),
    ],
)
def test_the_coding_that_the_client_likes_best_is_chosen(accepted: str, chosen: str | None) -> None:
    body, encoding = compress(TEXT, accepted)
    assert encoding == chosen
    assert unpack(body, encoding or "") == TEXT


def test_a_small_body_stays_as_it_is_unless_that_is_refused() -> None:
    assert compress(b"small", "gzip") == (b"small", None)
    body, encoding = compress(b"small", "gzip, identity;q=0")
    assert (unpack(body, "gzip"), encoding) == (b"small", "gzip")
    assert compress(b"small", "gzip, *;q=0")[1] == "gzip"


def test_compression_is_deterministic() -> None:
    assert compress(TEXT, "gzip") == compress(TEXT, "gzip")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.binary(max_size=5000), st.sampled_from(["gzip", "deflate"]))
def test_what_is_compressed_comes_back(data: bytes, encoding: str) -> None:
    body, chosen = compress(data, f"{encoding}, identity;q=0")
    assert chosen == encoding
    assert unpack(body, encoding) == data


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.binary(max_size=200), st.data())
def test_arbitrary_and_mutated_bodies_raise_nothing_unknown(junk: bytes, data: st.DataObject) -> None:
    packed = bytearray(data.draw(st.sampled_from([gzip.compress(TEXT, mtime=0), zlib.compress(TEXT), junk])))
    if packed:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(0, 255))
    with suppress(PredictionError):
        assert len(unpack(bytes(packed), data.draw(st.sampled_from(["gzip", "deflate"])))) <= MIB


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(alphabet="gzipdeflatenty*;q=01.9, -", max_size=60))
def test_any_accept_encoding_gives_a_body_that_can_be_read(accepted: str) -> None:
    body, encoding = compress(TEXT, accepted)
    assert unpack(body, encoding or "") == TEXT
