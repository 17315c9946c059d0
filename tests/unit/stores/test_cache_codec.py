"""Cache entries as bytes: back as they were, and nothing else is ever an entry."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.stores import entry, same
from mlpatterns.predictor import InferenceResponse
from mlpatterns.stores.cache import CacheEntry, owned_copy
from mlpatterns.stores.cache_codec import DIGEST, MAGIC, _digest, decode_entry, encode_entry
from mlpatterns.tensors import DamagedData, Unstorable
from unit.tensors.arrays import PLAIN, arrays

ENTRIES = st.builds(
    lambda outputs, parameters, until, identity: CacheEntry(
        owned_copy(InferenceResponse(outputs, "m", "1", identity, parameters)), until
    ),
    st.dictionaries(st.text(max_size=5), arrays(), max_size=3),
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
    with pytest.raises(DamagedData):
        decode_entry("key", value)


@given(st.binary(max_size=200))
def test_even_bytes_with_a_right_digest_are_an_entry_or_damaged(body: bytes) -> None:
    try:
        found = decode_entry("key", MAGIC + _digest("key", body) + body)
    except DamagedData:
        return
    assert isinstance(found, CacheEntry)


def test_a_tensor_that_is_not_what_it_says_is_damaged() -> None:
    tensor: list[Any] = ["x", "FP32", [2], b"\0\0\0\0"]
    body = struct.pack("<d", 1.0) + msgspec.msgpack.encode([[tensor], "m", "1", "d", {}, "done", False])
    with pytest.raises(DamagedData):
        decode_entry("key", MAGIC + _digest("key", body) + body)


@pytest.mark.parametrize("where", ["head", "digest", "tensor", "end"])
def test_one_flipped_bit_anywhere_is_damage(where: str) -> None:
    value = bytearray(encode_entry("key", entry(1.5)))
    position = {"head": 2, "digest": len(MAGIC) + 3, "tensor": len(value) // 2, "end": len(value) - 1}[where]
    assert position != len(MAGIC) + DIGEST
    value[position] ^= 1
    with pytest.raises(DamagedData):
        decode_entry("key", bytes(value))


def test_a_value_under_another_key_is_damaged() -> None:
    with pytest.raises(DamagedData):
        decode_entry("other", encode_entry("key", entry(1.5)))


def test_what_has_no_form_is_refused() -> None:
    response = owned_copy(InferenceResponse({"x": np.zeros(1)}, "m", "1", "d", {"a": object()}))
    with pytest.raises(Unstorable):
        encode_entry("key", CacheEntry(response, 1.0))
