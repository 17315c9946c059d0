"""Requests and responses as bytes: back as they were, and nothing else is ever one."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.context import Context
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.tensors import (
    DamagedData,
    Unstorable,
    decode_description,
    decode_request,
    decode_response,
    encode_description,
    encode_request,
    encode_response,
)
from unit.tensors.arrays import PLAIN, arrays, same

TENSORS = st.dictionaries(st.text(max_size=5), arrays(), max_size=3)
PARAMETERS = st.dictionaries(st.text(max_size=5), PLAIN | st.lists(PLAIN, max_size=2), max_size=2)
TEXT = st.text(max_size=5)
CONTEXTS = st.builds(
    Context, TEXT, st.dictionaries(TEXT, TEXT, max_size=2), st.none() | TEXT, st.none() | TEXT,
    st.sampled_from(["request", "test", "probe", "replay"]),
)  # fmt: skip
REQUESTS = st.builds(
    InferenceRequest, TENSORS, CONTEXTS, st.none() | TEXT, PARAMETERS, st.lists(TEXT, max_size=2).map(tuple),
    st.none() | st.floats(0, 10),
)  # fmt: skip
RESPONSES = st.builds(
    InferenceResponse, TENSORS, TEXT, TEXT, st.none() | TEXT, PARAMETERS, st.sampled_from(["done", "accepted"]),
    st.booleans(),
)  # fmt: skip


def all_same(one: Any, other: Any) -> bool:
    return list(one) == list(other) and all(same(value, other[name]) for name, value in one.items())


@given(REQUESTS)
def test_a_request_comes_back_with_who_asked_but_without_the_deadline(asked: InferenceRequest) -> None:
    read = decode_request(encode_request(asked))
    assert all_same(read.inputs, asked.inputs)
    assert not any(value.flags.writeable for value in read.inputs.values())
    assert (read.id, read.parameters, read.outputs) == (asked.id, asked.parameters, asked.outputs)
    assert read.context == asked.context
    assert read.deadline is None


@given(RESPONSES)
def test_a_response_comes_back_to_the_last_bit(answered: InferenceResponse) -> None:
    read = decode_response(encode_response(answered))
    assert all_same(read.outputs, answered.outputs)
    assert not any(value.flags.writeable for value in read.outputs.values())
    assert msgspec.structs.replace(read, outputs={}) == msgspec.structs.replace(answered, outputs={})


@given(TENSORS, st.lists(TEXT, max_size=3).map(tuple), st.none() | st.integers(1, 9))
def test_what_a_model_says_of_itself_comes_back(sample: Any, labels: tuple[str, ...], most: int | None) -> None:
    inputs = (TensorSpec("x", "FP32", (-1, 2), fields=("a", "b"), missing=True), TensorSpec("file", "BYTES", (-1,)))
    told = ModelMetadata("name", "3", "onnx", inputs, inputs[:1], "x", labels, sample, most)
    read = decode_description(encode_description(told))
    assert read.sample is not None
    assert all_same(read.sample, sample)
    assert msgspec.structs.replace(read, sample=None) == msgspec.structs.replace(told, sample=None)
    bare = msgspec.structs.replace(told, sample=None)
    assert decode_description(encode_description(bare)) == bare


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_damaged_and_nothing_else_happens(data: bytes) -> None:
    for decode in (decode_request, decode_response, decode_description):
        with pytest.raises(DamagedData):
            decode(data)


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
    request = msgspec.msgpack.encode([[tensor], {}, [], None, "id", None, {}, None, "request"])
    response = msgspec.msgpack.encode([[tensor], "m", "1", "d", {}, "done", False])
    with pytest.raises(DamagedData):
        decode_request(request)
    with pytest.raises(DamagedData):
        decode_response(response)


@pytest.mark.parametrize(
    ("array", "parameters"),
    [
        (np.array([1 + 2j]), {}),
        (np.array(["text"], dtype=object), {}),
        (np.array([None], dtype=object), {}),
        (np.zeros(1), {"a": object()}),
        (np.zeros(1), {"a": 2**70}),
    ],
)
def test_what_has_no_form_is_refused(array: np.ndarray[Any, Any], parameters: dict[str, Any]) -> None:
    with pytest.raises(Unstorable):
        encode_response(InferenceResponse({"x": array}, "m", "1", None, parameters))
    with pytest.raises(Unstorable):
        encode_request(InferenceRequest({"x": array}, Context("id"), parameters=parameters))
