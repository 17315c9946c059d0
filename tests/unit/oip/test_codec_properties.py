"""What holds for every tensor and for every body: nothing is lost on the way, and nothing breaks the reader."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlpatterns.errors import PredictionError
from mlpatterns.metadata import DTYPES, ModelMetadata, TensorSpec
from mlpatterns.oip.client_codec import decode_response, encode_request
from mlpatterns.oip.codec import BinaryOutputs, decode_request, encode_response
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.wire import sentence
from mlpatterns.predictor import InferenceResponse

LIMITS = RequestLimits(max_elements=1000, max_inputs=8)
check = settings(derandomize=True, deadline=None, max_examples=100)
SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn, *, text: bool = False) -> np.ndarray[Any, Any]:
    """An array of any datatype; with `text`, of what JSON can say."""
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(SHAPES)
    if datatype != "BYTES":
        finite = {"allow_nan": not text, "allow_infinity": not text} if datatype.startswith("FP") else {}
        elements = arrays.from_dtype(DTYPES[datatype], **finite)  # type: ignore[arg-type]
        return draw(arrays.arrays(DTYPES[datatype], shape, elements=elements))
    size = int(np.prod(shape))
    chars = st.text(max_size=5).map(str.encode) if text else st.binary(max_size=5)
    array = np.empty(size, dtype=object)
    array[:] = draw(st.lists(chars, min_size=size, max_size=size))
    return array.reshape(shape)


def spec(name: str, array: np.ndarray[Any, Any]) -> TensorSpec:
    datatype = next(datatype for datatype, dtype in DTYPES.items() if dtype == array.dtype)
    return TensorSpec(name, datatype, array.shape)


def model(*specs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("m", "1", "test", specs, (TensorSpec("y", "FP32", (-1,)),), "y")


def same(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Bit by bit, NaN and the sign of zero included."""
    if one.dtype == object:
        return bool(one.shape == other.shape and one.tolist() == other.tolist())
    return (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())


@check
@given(st.lists(tensors(), min_size=1, max_size=4))
def test_a_raw_request_comes_back_bit_by_bit(given_: list[Any]) -> None:
    inputs = {f"x{number}": array for number, array in enumerate(given_)}
    specs = [spec(name, array) for name, array in inputs.items()]
    body, length = encode_request(inputs, specs, "7", {"k": 1}, ("y",))
    asked = decode_request(body, length, model(*specs), LIMITS)
    assert (asked.id, asked.parameters, asked.outputs, asked.binary.wants("y")) == ("7", {"k": 1}, ("y",), True)
    assert list(asked.inputs) == list(inputs)
    assert all(same(asked.inputs[name], array) for name, array in inputs.items())


@check
@given(st.lists(tensors(), max_size=4))
def test_a_raw_answer_comes_back_bit_by_bit(given_: list[Any]) -> None:
    outputs = {f"y{number}": array for number, array in enumerate(given_)}
    body, length = encode_response(InferenceResponse(outputs, "m", "2"), "7", BinaryOutputs(True))
    said = decode_response(body, length)
    assert (said.model_name, said.model_version, said.id) == ("m", "2", "7")
    assert all(same(said.outputs[name], array) for name, array in outputs.items())


@check
@given(st.lists(tensors(text=True), max_size=4), st.data())
def test_a_json_or_mixed_answer_comes_back_bit_by_bit(given_: list[Any], data: st.DataObject) -> None:
    outputs = {f"y{number}": array for number, array in enumerate(given_)}
    raw = {name: data.draw(st.booleans()) for name in outputs}
    body, length = encode_response(InferenceResponse(outputs, "m", "2"), None, BinaryOutputs(named=raw))
    assert (length is None) == (not any(raw.values()))
    said = decode_response(body, length)
    assert all(same(said.outputs[name], array) for name, array in outputs.items())


@check
@given(tensors(text=True))
def test_a_json_request_comes_back_flat_and_nested(array: np.ndarray[Any, Any]) -> None:
    x = spec("x", array)
    for values in (array.ravel().tolist(), array.tolist()):
        text = json.dumps(values, default=bytes.decode)
        body = f'{{"inputs":[{{"name":"x","datatype":"{x.datatype}","shape":{list(array.shape)},"data":{text}}}]}}'
        assert same(decode_request(body.encode(), None, model(x), LIMITS).inputs["x"], array)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TAKES = model(TensorSpec("x", "FP32", (-1, 2)), TensorSpec("s", "BYTES", (-1,)), TensorSpec("b", "BOOL", (-1,)))


def survives(body: bytes, length: int | None) -> None:
    """Reading `body` gives arrays or a PredictionError, in memory that its own size bounds."""
    with suppress(PredictionError):
        asked = decode_request(body, length, TAKES, LIMITS)
        assert {name: array.dtype for name, array in asked.inputs.items()} == {
            one.name: DTYPES[one.datatype] for one in TAKES.inputs
        }
    with suppress(PredictionError):
        decode_response(body, length, LIMITS)


@settings(check, max_examples=300)
@given(st.binary(max_size=200), st.none() | st.integers(-5, 250))
def test_arbitrary_bytes_raise_nothing_unknown(body: bytes, length: int | None) -> None:
    survives(body, length)


@settings(check, max_examples=300)
@given(st.data())
def test_a_request_with_any_json_in_any_place_raises_nothing_unknown(data: st.DataObject) -> None:
    head: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2], "parameters": {}}
    text = {"name": "s", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}
    flag = {"name": "b", "datatype": "BOOL", "shape": [1], "parameters": {"binary_data_size": 1}}
    request: dict[str, Any] = {"inputs": [head, text, flag], "outputs": [{"name": "y", "parameters": {}}],
                               "id": "7", "parameters": {"binary_data_output": True}, "model_name": "m"}  # fmt: skip
    place = data.draw(st.sampled_from([request, head, text, flag, text["parameters"], request["outputs"][0]]))
    assert isinstance(place, dict)
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(ANY_JSON)
    body = json.dumps(request).encode()
    survives(body + b"\x01\0\0\0a\x01", len(body))


VALID, VALID_LENGTH = encode_request(
    {"x": np.ones((1, 2), np.float32), "s": np.array([b"ab"], object), "b": np.array([True])}, TAKES.inputs, "7"
)


@settings(check, max_examples=500)
@given(st.data())
def test_a_mutated_request_raises_nothing_unknown(data: st.DataObject) -> None:
    body = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        new = data.draw(st.binary(max_size=3) | st.sampled_from([b"[" * 50, b'"', b"\\", b"1e400", b"null", b"-"]))
        body[at : at + data.draw(st.integers(0, 3))] = new
    survives(bytes(body), data.draw(st.sampled_from([VALID_LENGTH, VALID_LENGTH + len(body) - len(VALID), None])))


def test_a_large_hostile_body_costs_memory_in_proportion_to_itself() -> None:
    size = 2_000_000
    head = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":'
    hostile = [
        b"[" * size, b'["' * (size // 2), b'{"":' * (size // 4), b'"' + b'\\"' * (size // 2),
        head + b"[" + b"1," * (size // 2) + b"1]}]}",
        head + b"[" + b"[]," * (size // 3) + b"[]]}]}",
        head.replace(b"FP32", b"BYTES") + b"[" + b'"",' * (size // 3) + b'""]}]}',
        head + b'[1,2]}],"outputs":[' + b"{}," * (size // 3) + b"{}]}",
        b'{"inputs":[' + b"{}," * (size // 3) + b"{}]}",
    ]  # fmt: skip
    for body in hostile:
        tracemalloc.start()
        survives(body, None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * size, body[:80]


@check
@given(st.text(max_size=300))
def test_any_decoder_message_becomes_a_bounded_sentence(text: str) -> None:
    assert len(sentence(ValueError(f"Expected `int`, got `str` - at `$.{text}`"))) < 200
