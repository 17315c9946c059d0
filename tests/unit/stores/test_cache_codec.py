"""Cache entries as bytes: back as they were, and nothing else is ever an entry."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.stores import entry, same
from mlpatterns.predictor import InferenceResponse
from mlpatterns.stores.cache import CacheEntry, kept
from mlpatterns.stores.cache_codec import (
    DIGEST,
    MAGIC,
    Damaged,
    Unstorable,
    _digest,
    decode_entry,
    encode_entry,
)

DTYPES = st.sampled_from([np.dtype(name) for name in ("?", "u1", "i2", ">u4", "i8", "f2", ">f4", "f8")])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()


@st.composite
def texts(draw: st.DrawFn) -> np.ndarray:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    array = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        array[index] = draw(st.binary(max_size=5))
    return array


ENTRIES = st.builds(
    lambda outputs, parameters, until, identity: CacheEntry(
        kept(InferenceResponse(outputs, "m", "1", identity, parameters)), until
    ),
    st.dictionaries(st.text(max_size=5), ARRAYS | texts(), max_size=3),
    st.dictionaries(st.text(max_size=5), PLAIN | st.lists(PLAIN, max_size=2), max_size=2),
    st.floats(0, 1e12),
    st.none() | st.text(),
)


@given(ENTRIES, st.text())
def test_what_is_encoded_comes_back_to_the_last_bit(written: CacheEntry, key: str) -> None:
    read = decode_entry(key, encode_entry(key, written))
    native = {
        name: value if value.dtype == object else value.astype(value.dtype.newbyteorder("="))
        for name, value in written.response.outputs.items()
    }
    same(read, msgspec.structs.replace(written, response=msgspec.structs.replace(written.response, outputs=native)))
    assert not any(value.flags.writeable for value in read.response.outputs.values())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_damaged_and_nothing_else_happens(value: bytes) -> None:
    with pytest.raises(Damaged):
        decode_entry("key", value)


@given(st.binary(max_size=200))
def test_even_bytes_with_a_right_digest_are_an_entry_or_damaged(body: bytes) -> None:
    try:
        found = decode_entry("key", MAGIC + _digest("key", body) + body)
    except Damaged:
        return
    assert isinstance(found, CacheEntry)


LYING: list[Any] = [
    ["x", "FP32", [-1], b"\0\0\0\0"],
    ["x", "FP32", [2], b"\0\0\0\0"],
    ["x", "FP32", [-1, -1], b"\0\0\0\0"],
    ["x", "FP32", [2**40, 2**40], b""],
    ["x", "FP32", [0] * 99, b""],
    ["x", "FP32", [1], [b"abcd"]],
    ["x", "BYTES", [1], b"abcd"],
    ["x", "BYTES", [2], [b"abcd"]],
    ["x", "COMPLEX", [1], b"abcd"],
]


@pytest.mark.parametrize("tensor", LYING)
def test_a_tensor_that_is_not_what_it_says_is_damaged(tensor: Any) -> None:
    body = msgspec.msgpack.encode([1.0, "m", "1", "d", {}, [tensor]])
    with pytest.raises(Damaged):
        decode_entry("key", MAGIC + _digest("key", body) + body)


@pytest.mark.parametrize("where", ["head", "digest", "tensor", "end"])
def test_one_flipped_bit_anywhere_is_damage(where: str) -> None:
    value = bytearray(encode_entry("key", entry(1.5)))
    position = {"head": 2, "digest": len(MAGIC) + 3, "tensor": len(value) // 2, "end": len(value) - 1}[where]
    assert position != len(MAGIC) + DIGEST
    value[position] ^= 1
    with pytest.raises(Damaged):
        decode_entry("key", bytes(value))


def test_a_value_under_another_key_is_damaged() -> None:
    with pytest.raises(Damaged):
        decode_entry("other", encode_entry("key", entry(1.5)))


@pytest.mark.parametrize(
    ("output", "parameters"),
    [
        (np.array([1 + 2j]), {}),
        (np.array(["text"], dtype=object), {}),
        (np.array([None], dtype=object), {}),
        (np.zeros(1), {"a": object()}),
        (np.zeros(1), {"a": 2**70}),
    ],
)
def test_what_has_no_form_is_refused(output: np.ndarray, parameters: dict[str, Any]) -> None:
    response = kept(InferenceResponse({"x": output}, "m", "1", "d", parameters))
    with pytest.raises(Unstorable):
        encode_entry("key", CacheEntry(response, 1.0))
