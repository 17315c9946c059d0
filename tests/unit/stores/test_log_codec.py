"""Records as lines of JSON: every one can be written, as one line, and is read as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.context import Note
from mlpatterns.stores.log import Record
from mlpatterns.stores.log_codec import decode_record, encode_record

words = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
plain = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
tensors = st.none() | st.dictionaries(words, plain, max_size=3)
anything: st.SearchStrategy[Any] = (
    st.text() | st.binary(max_size=9) | st.floats() | st.integers() | st.complex_numbers()
)


@given(
    record=st.builds(
        Record,
        words, st.floats(0, 1e10), words, st.sampled_from(["done", "accepted", "failed", "cancelled"]), st.floats(0, 1),
        model=words, identity=st.none() | words, principal=st.none() | words, error=words, inputs=tensors,
        outputs=tensors, notes=st.lists(st.builds(Note, words, words, plain, st.booleans()), max_size=3).map(tuple),
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_record_of_plain_values_comes_back_as_it_was(record: Record) -> None:
    line = encode_record(record)
    assert b"\n" not in line
    assert decode_record(line) == record


@given(value=anything, text=st.text(), name=st.text())
@settings(max_examples=60, deadline=None)
def test_a_record_of_any_values_can_be_written_and_read(value: Any, text: str, name: str) -> None:
    odd = Record("id", 1.0, "p", "done", 1.0, error=text, inputs={name: [value]}, notes=(Note("a", name, value),))
    line = encode_record(odd)
    assert b"\n" not in line
    assert decode_record(line).prediction_id == "id"


@given(line=st.binary(max_size=40) | st.just(encode_record(Record("a", 1.0, "p", "done", 1.0))).map(lambda x: x[:-3]))
@settings(max_examples=60, deadline=None)
def test_what_is_no_record_is_an_error_and_no_other(line: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        decode_record(line)
