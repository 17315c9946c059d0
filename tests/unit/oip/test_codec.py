"""Every rule of the protocol for requests and answers, by example. Properties are in test_codec_properties."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from mlpatterns.errors import InternalError, InvalidInput, PredictionError, TooLarge
from mlpatterns.metadata import DTYPES, ModelMetadata, TensorSpec
from mlpatterns.oip.codec import BinaryOutputs, DecodedRequest, decode_request, encode_response, parse_json_length
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.predictor import InferenceResponse

LIMITS = RequestLimits(max_elements=1000, max_inputs=3, max_outputs=2)
OUTPUTS = tuple(TensorSpec(name, "FP32", (-1, 1)) for name in ("y", "z", "w"))


def model(**inputs: tuple[str, tuple[int, ...]]) -> ModelMetadata:
    specs = tuple(TensorSpec(name, datatype, shape) for name, (datatype, shape) in inputs.items())
    return ModelMetadata("m", "1", "test", specs, OUTPUTS, "y")


def tensor(datatype: str, shape: Any, **more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": shape, **more}


def decode(request: Any, metadata: ModelMetadata | None = None, raw: bytes = b"", length: int = 0) -> DecodedRequest:
    """Decodes `request` (a JSON value, or its text) followed by `raw`; `length` is added to what the header says."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    metadata = metadata or model(x=("FP32", (-1, 2)))
    return decode_request(body + raw, len(body) + length if raw or length else None, metadata, LIMITS)


def read(datatype: str, data: Any, shape: list[int] | None = None) -> np.ndarray[Any, Any]:
    """One JSON tensor; `data` may be JSON text."""
    shape = [len(data)] if shape is None else shape
    text = data if isinstance(data, str) else json.dumps(data)
    body = f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{json.dumps(shape)},"data":{text}}}]}}'
    return decode(body.encode(), model(x=(datatype, (-1,) * len(shape)))).inputs["x"]


def read_raw(datatype: str, raw: bytes, shape: list[int], size: Any = None) -> np.ndarray[Any, Any]:
    """One raw tensor; `size` is what its parameter says."""
    head = tensor(datatype, shape, parameters={"binary_data_size": len(raw) if size is None else size})
    body = json.dumps({"inputs": [head]}).encode()
    return decode_request(body + raw, len(body), model(x=(datatype, (-1,) * len(shape))), LIMITS).inputs["x"]


def refused(match: str, kind: type[PredictionError] = InvalidInput) -> Any:
    return pytest.raises(kind, match=match)


ROW = tensor("FP32", [1, 2], data=[1, 2])
ITEMS = b"".join(struct.pack("<I", len(item)) + item for item in (b"a", b"", b"\xff\x00"))


# ---- the request -------------------------------------------------------------------------------------------------


def test_a_request_is_read_whole() -> None:
    asked = decode({
        "id": "7", "parameters": {"k": [1, None]}, "inputs": [ROW], "unknown": {"deep": [1]},
        "outputs": [{"name": "z", "unknown": 1}, {"name": "y", "parameters": {"binary_data": True}}],
    })  # fmt: skip
    assert (asked.id, asked.parameters, asked.outputs) == ("7", {"k": [1, None]}, ("z", "y"))
    assert (asked.binary.wants("y"), asked.binary.wants("z")) == (True, False)
    np.testing.assert_array_equal(asked.inputs["x"], np.array([[1, 2]], np.float32))
    assert asked.inputs["x"].dtype == np.float32


def test_what_is_not_given_and_explicit_nulls_are_the_same() -> None:
    nulls = {"id": None, "parameters": None, "outputs": None, "inputs": [{**ROW, "parameters": None}]}
    for asked in (decode({"inputs": [ROW]}), decode(nulls), decode({"inputs": [ROW], "outputs": []})):
        assert (asked.id, asked.parameters, asked.outputs) == (None, {}, ())
        assert not asked.binary.wants("y")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"", "the request is not right: it is empty"),
        (b"{", "ends too early"),
        (b"nope", "it is not JSON"),
        (b'{"inputs": [NaN]}', "it is not JSON"),
        (b'{"inputs": []} more', "it is not JSON"),
        (b'{"id": "\xff", "inputs": []}', "not UTF-8"),
        (b"[]", "expected an object, got a list"),
        ({}, "missing required field 'inputs'"),
        ({"inputs": None}, "expected a list, got null at inputs"),
        ({"inputs": {}}, "expected a list, got an object at inputs"),
        ({"inputs": [1]}, r"expected an object, got an integer at inputs\[0\]"),
        ({"inputs": [{"name": "x"}]}, r"missing required field 'shape' at inputs\[0\]"),
        ({"inputs": [tensor("FP32", [1.5])]}, "expected an integer, got a number"),
        ({"inputs": [tensor("FP32", [True])]}, "expected an integer, got a boolean"),
        ({"inputs": [tensor("FP32", 2)]}, "expected a list, got an integer"),
        (b'{"inputs": [{"name": "x", "shape": [1' + b"0" * 5000 + b"]}]}", "out of range"),
        ({"id": 7, "inputs": []}, "expected a string, got an integer at id"),
        ({"parameters": [], "inputs": []}, "expected an object, got a list at parameters"),
        ({"inputs": [ROW], "outputs": ["y"]}, r"expected an object, got a string at outputs\[0\]"),
    ],
)
def test_a_malformed_request_is_refused_in_plain_words(request_: Any, says: str) -> None:
    with refused(says):
        decode(request_)


def test_inputs_must_be_those_of_the_model() -> None:
    two = model(x=("FP32", (-1, 2)), y=("INT64", (-1,)))
    with refused("missing input 'y'"):
        decode({"inputs": [ROW]}, two)
    with refused("missing input 'x', 'y'"):
        decode({"inputs": []}, two)
    with refused("input 'x' is given twice"):
        decode({"inputs": [ROW, ROW]})
    with refused("there is no input 'q'; the model takes x"):
        decode({"inputs": [{**ROW, "name": "q"}]})


def test_a_name_from_outside_is_cut_and_escaped_in_a_sentence() -> None:
    with refused(r"^there is no input 'a\\x00\\na{61}…'; "):
        decode({"inputs": [{**ROW, "name": "a\0\n" + "a" * 5000}]})


def test_outputs_must_be_those_of_the_model_once_each() -> None:
    with refused("there is no output 'q'; the model gives y, z, w"):
        decode({"inputs": [ROW], "outputs": [{"name": "q"}]})
    with refused("the request names output 'y' twice"):
        decode({"inputs": [ROW], "outputs": [{"name": "y"}, {"name": "y"}]})


@pytest.mark.parametrize("extension", ["classification", "shared_memory_region"])
def test_an_extension_that_would_change_the_answer_is_refused(extension: str) -> None:
    with refused(f"output 'y' asks for {extension}, which this server does not offer"):
        decode({"inputs": [ROW], "outputs": [{"name": "y", "parameters": {extension: 1}}]})


def test_no_classes_asked_for_is_no_classification() -> None:
    assert decode({"inputs": [ROW], "outputs": [{"name": "y", "parameters": {"classification": 0}}]}).outputs == ("y",)


def test_an_input_in_shared_memory_is_refused_for_what_it_is() -> None:
    elsewhere = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
    with refused("is in shared memory, which this server does not offer; send its data"):
        decode({"inputs": [{**{k: v for k, v in ROW.items() if k != "data"}, "parameters": elsewhere}]})


def test_binary_output_is_chosen_for_all_and_overridden_by_each() -> None:
    outputs = [{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}]
    asked = decode({"inputs": [ROW], "parameters": {"binary_data_output": True, "k": 1}, "outputs": outputs})
    assert (asked.binary.wants("y"), asked.binary.wants("z")) == (True, False)
    assert asked.parameters == {"k": 1}, "how the answer travels is no part of what is asked"
    assert decode({"inputs": [ROW], "parameters": {"binary_data_output": True}}).binary.wants("y")


@pytest.mark.parametrize("flag", [1, "true", [], 0])
def test_a_binary_flag_must_be_a_boolean(flag: Any) -> None:
    with refused("binary_data_output must be true or false"):
        decode({"inputs": [ROW], "parameters": {"binary_data_output": flag}})
    with refused("output 'y': the parameter binary_data must be true or false"):
        decode({"inputs": [ROW], "outputs": [{"name": "y", "parameters": {"binary_data": flag}}]})


def test_there_may_not_be_too_many_inputs_or_outputs() -> None:
    with refused("more than 3 inputs", TooLarge):
        decode({"inputs": [ROW] * 4})
    with refused("more than 3 outputs", TooLarge):
        decode({"inputs": [ROW], "outputs": [{"name": name} for name in ("y", "z", "w", "y")]})


def test_as_many_inputs_and_outputs_as_the_model_has_are_never_too_many() -> None:
    wide = model(**dict.fromkeys("abcd", ("FP32", (-1, 1))))
    every = [{"name": name, "datatype": "FP32", "shape": [1, 1], "data": [1]} for name in "abcd"]
    found = decode({"inputs": every, "outputs": [{"name": name} for name in ("y", "z", "w")]}, wide)
    assert (list(found.inputs), found.outputs) == (list("abcd"), ("y", "z", "w"))
    with refused("more than 4 inputs", TooLarge):
        decode({"inputs": every * 2}, wide)


# ---- nesting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opens", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("depth", [40, 900, 100_000])
@pytest.mark.parametrize("field", ["parameters", "unknown"])
def test_deep_json_is_refused_before_it_is_decoded(opens: str, depth: int, field: str) -> None:
    with refused("nested deeper than 32 levels"):
        decode(f'{{"inputs":[],"{field}":{opens * depth}'.encode())


def test_brackets_within_strings_are_not_nesting() -> None:
    text = '[{"\\' * 50
    assert decode({"id": text, "parameters": {text: [[text]]}, "inputs": [ROW]}).id == text


def test_brackets_within_strings_do_not_hide_nesting() -> None:
    head = json.dumps({"id": ']}\\"' * 50, "k\\": ']"' * 50})[:-1]
    with refused("nested deeper"):
        decode(f'{head},"parameters":{{"a":{"[" * 40}{"]" * 40}}},"inputs":[]}}'.encode())


def test_many_lists_side_by_side_are_not_deep() -> None:
    data = [[1, 2]] * 400
    assert decode({"inputs": [tensor("FP32", [400, 2], data=data)]}).inputs["x"].shape == (400, 2)


def test_nesting_is_counted_across_blocks() -> None:
    wide = "[]," * 600_000
    assert decode(f'{{"inputs":[{json.dumps(ROW)}],"unknown":[{wide}1]}}'.encode()).id is None
    with refused("nested deeper"):
        decode(f'{{"unknown":[{wide}{"[" * 31}'.encode())


# ---- shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ([2], r"input 'x' has shape \[2\], but the model has \[-1, 2\]"),
        ([1, 2, 1], "but the model has"),
        ([1, 3], "but the model has"),
        ([-1, 2], "negative dimension"),
        ([-1, -2], "negative dimension"),
        ([], "but the model has"),
        ([1] * 9, "has 9 dimensions; at most 8"),
        ([2**62, 2], "more elements than 64 bits can count"),
        ([2**32, 2**32], "more elements than 64 bits can count"),
        ([0, 2**64], "more elements than 64 bits can count"),
    ],
)
def test_a_shape_must_be_the_models(shape: list[int], says: str) -> None:
    for request, raw in (
        ({"inputs": [tensor("FP32", shape, data=[1, 2])]}, b""),
        ({"inputs": [tensor("FP32", shape, parameters={"binary_data_size": 8})]}, bytes(8)),
    ):
        with refused(says):
            decode(request, raw=raw)


@pytest.mark.parametrize("shape", [[501, 2], [2**40, 2]])
def test_too_many_elements_are_refused_before_anything_is_allocated(shape: list[int]) -> None:
    with refused("input 'x' has more than the 1000 elements", TooLarge):
        decode({"inputs": [tensor("FP32", shape, data=[])]})


def test_an_empty_axis_does_not_hide_a_huge_one() -> None:
    with refused("more than the 1000 elements", TooLarge):
        read("FP32", [], [0, 2**40])


@pytest.mark.parametrize("datatype", ["INT32", "fp32", "FLOAT", "", "BYTES"])
def test_a_datatype_must_be_the_models_letter_by_letter(datatype: str) -> None:
    with refused(f"input 'x' has datatype {datatype!r}, but the model has FP32"):
        decode({"inputs": [{**ROW, "datatype": datatype}]})


# ---- JSON data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("datatype", DTYPES)
def test_data_may_be_flat_or_nested(datatype: str) -> None:
    values: list[Any] = [1, 0, 1, 1, 0, 1]
    if datatype in ("BOOL", "BYTES"):
        values = [bool(value) for value in values] if datatype == "BOOL" else list("añ\0日[,")
    nested = [[values[:3]], [values[3:]]]
    flat = read(datatype, values, [2, 1, 3])
    assert flat.shape == (2, 1, 3)
    assert flat.dtype == DTYPES[datatype]
    np.testing.assert_array_equal(flat, read(datatype, nested, [2, 1, 3]))
    expected = [value.encode() for value in values] if datatype == "BYTES" else values
    assert flat.ravel().tolist() == expected


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BYTES"])
@pytest.mark.parametrize(("shape", "data"), [([0], []), ([0, 4], []), ([2, 0], [[], []]), ([2, 0], []),
                                             ([1, 2, 0], [[[], []]])])  # fmt: skip
def test_a_tensor_may_be_empty(datatype: str, shape: list[int], data: list[Any]) -> None:
    assert read(datatype, data, shape).shape == tuple(shape)


def test_a_tensor_without_axes_has_one_element() -> None:
    assert read("FP32", [5], []).shape == ()
    assert read("BYTES", ["5"], []).item() == b"5"


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BYTES"])
@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([3], [1, 2]), ([1], [1, 2]), ([0], [1]), ([2], []), ([2, 2], [1, 2, 3]),
        ([2, 2], [[1, 2], [3]]), ([2, 2], [[1, 2, 3], [4]]), ([2, 2], [[1, 2]]), ([2, 3], [[1, 2], [3, 4], [5, 6]]),
        ([2, 1, 1], [[1], [2]]), ([2], [[1], [2]]), ([2, 0], [[1], []]), ([2], [1, [2]]), ([2, 1], [[1], 2]),
        ([2], {}), ([2], 5), ([1], [None]), ([1], [{}]),
    ],
)  # fmt: skip
def test_data_must_agree_with_its_shape(datatype: str, shape: list[int], data: Any) -> None:
    text = json.dumps(data)
    if datatype == "BYTES":
        text = "".join(f'"{char}"' if char.isdigit() else char for char in text)
    with refused("input 'x'"):
        read(datatype, text, shape)


INTEGERS = {name: np.iinfo(dtype) for name, dtype in DTYPES.items() if dtype.kind in "iu"}


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_are_exact_to_their_bounds_and_never_wrapped(datatype: str) -> None:
    low, high = INTEGERS[datatype].min, INTEGERS[datatype].max
    assert read(datatype, [int(low), int(high)]).tolist() == [low, high]
    for value in (int(low) - 1, int(high) + 1, 10**30, -(10**30)):
        with refused("input 'x'"):
            read(datatype, [value])


@pytest.mark.parametrize("datatype", INTEGERS)
@pytest.mark.parametrize("value", ["true", '"1"', "null"])
def test_only_integers_are_integers(datatype: str, value: str) -> None:
    with refused(r"input 'x': expected an integer, got .* at data\[0\]"):
        read(datatype, f"[{value}]", [1])
    with refused(r"input 'x': expected an integer, got .* at data\[1\]"):
        read(datatype, f"[1.0, {value}]", [2])


@pytest.mark.parametrize("value", ['"true"', "null", "{}"])
def test_only_booleans_are_booleans(value: str) -> None:
    with refused("expected a boolean"):
        read("BOOL", f"[{value}]", [1])


@pytest.mark.parametrize("value", ["1", "true", "null", "{}", "1.5"])
def test_only_strings_are_bytes(value: str) -> None:
    with refused("expected a string"):
        read("BYTES", f"[{value}]", [1])


@pytest.mark.parametrize("text", ['["\\ud800"]', '["\xff\\u12"]', '["\\x"]'])
def test_text_that_is_no_unicode_is_refused(text: str) -> None:
    with refused("not right"):
        read("BYTES", text, [1])


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_numbers_are_floats_to_their_bounds_and_never_infinite(datatype: str) -> None:
    most = float(np.finfo(DTYPES[datatype]).max)
    assert read(datatype, [3, -most, most, -0.0]).tolist() == [3, -most, most, 0]
    assert np.signbit(read(datatype, [-0.0])[0])
    for value in ("1e309", "-1e309", "1" + "0" * 400):
        with refused("input 'x'"):
            read(datatype, f"[{value}]", [1])
    if datatype != "FP64":
        with refused(f"input 'x' has a number that does not fit {datatype}"):
            read(datatype, [0, most * 1.01])
    for value in ("true", '"1"', "null"):
        with refused("expected a number"):
            read(datatype, f"[{value}]", [1])


def test_the_shortest_text_of_the_largest_float_is_that_float() -> None:
    assert read("FP32", "[3.4028235e+38]", [1])[0] == np.finfo(np.float32).max


@pytest.mark.parametrize("extra", [{}, {"data": None}, {"parameters": {}}, {"parameters": {"binary_data_size": None}}])
def test_a_tensor_needs_data(extra: dict[str, Any]) -> None:
    with refused("input 'x' has neither data nor a binary_data_size"):
        decode({"inputs": [tensor("FP32", [1, 2], **extra)]})


# ---- raw data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("datatype", sorted(set(DTYPES) - {"BYTES", "BOOL"}))
def test_raw_tensors_are_exact_bit_by_bit(datatype: str) -> None:
    dtype = DTYPES[datatype]
    raw = bytes(range(255, 255 - 6 * dtype.itemsize, -1)) if dtype.itemsize < 8 else np.arange(6, dtype=dtype).tobytes()
    array = read_raw(datatype, raw, [2, 3])
    assert (array.shape, array.dtype, array.tobytes()) == ((2, 3), dtype, raw)


def test_raw_nan_and_infinity_are_kept() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    assert read_raw("FP32", values.tobytes(), [4]).tobytes() == values.tobytes()


def test_an_aligned_raw_tensor_is_not_copied_and_another_becomes_aligned() -> None:
    raw = np.arange(1000, dtype=np.float64).tobytes()
    head = json.dumps({"inputs": [tensor("FP64", [1000], parameters={"binary_data_size": 8000})]}).encode()
    views = 0
    for spaces in range(16):
        text = head + b" " * spaces
        array = decode_request(text + raw, len(text), model(x=("FP64", (-1,))), LIMITS).inputs["x"]
        assert array.flags.aligned
        assert array.tobytes() == raw
        views += not array.flags.owndata and not array.flags.writeable
    assert views == 2


def test_raw_tensors_follow_each_other_in_the_order_of_the_inputs() -> None:
    both = model(x=("FP32", (-1,)), n=("INT16", (-1,)), s=("BYTES", (-1,)))
    heads = [
        {"name": "s", "datatype": "BYTES", "shape": [3], "parameters": {"binary_data_size": len(ITEMS)}},
        {"name": "n", "datatype": "INT16", "shape": [3], "data": [7, 8, 9]},
        {"name": "x", "datatype": "FP32", "shape": [3], "parameters": {"binary_data_size": 12}},
    ]
    inputs = decode({"inputs": heads}, both, ITEMS + struct.pack("<3f", 0.5, 0, 1)).inputs
    assert list(inputs) == ["s", "n", "x"]
    assert [array.tolist() for array in inputs.values()] == [[b"a", b"", b"\xff\x00"], [7, 8, 9], [0.5, 0, 1]]


@pytest.mark.parametrize("size", [-1, 8.0, True, "8", [], 2**70])
def test_a_raw_size_must_be_a_possible_number_of_bytes(size: Any) -> None:
    with refused("input 'x': binary_data_size"):
        read_raw("FP32", bytes(8), [2], size)


@pytest.mark.parametrize(("size", "shape"), [(0, [2]), (4, [2]), (7, [2]), (8, [1]), (8, [0]), (8, [3])])
def test_a_raw_size_must_agree_with_shape_and_datatype(size: int, shape: list[int]) -> None:
    with refused("input 'x' has . bytes, but its shape and datatype need"):
        read_raw("FP32", bytes(8), shape, size)


def test_a_raw_size_may_not_pass_the_end_of_the_body_or_leave_bytes_over() -> None:
    with refused("larger than the rest of the body"):
        read_raw("FP32", bytes(8), [3], 12)
    with refused("3 bytes follow the last tensor"):
        read_raw("FP32", bytes(11), [2], 8)
    with refused("4 bytes follow the last tensor"):
        decode({"inputs": [ROW]}, raw=bytes(4))


def test_a_tensor_is_raw_or_json_but_not_both() -> None:
    head = tensor("FP32", [1, 2], data=[1, 2], parameters={"binary_data_size": 8})
    with refused("input 'x' has both data and a binary_data_size"):
        decode({"inputs": [head]}, raw=bytes(8))
    decode({"inputs": [{**head, "data": None}]}, raw=bytes(8))


def test_a_raw_tensor_needs_the_header() -> None:
    with refused("the header Inference-Header-Content-Length is missing"):
        decode({"inputs": [tensor("FP32", [1, 2], parameters={"binary_data_size": 8})]})


@pytest.mark.parametrize("length", [1, 10**9, -(10**9)])
def test_the_json_cannot_be_longer_than_the_body(length: int) -> None:
    with refused("but the body has only [0-9]+ bytes"):
        decode({"inputs": [ROW]}, length=length)


def test_json_cut_by_its_header_is_malformed() -> None:
    with refused("ends too early"):
        decode({"inputs": [ROW]}, length=-1)


def test_a_raw_boolean_is_0_or_1() -> None:
    assert read_raw("BOOL", b"\x00\x01", [2]).tolist() == [False, True]
    with refused("input 'x' has a byte that is not a BOOL; each must be 0 or 1"):
        read_raw("BOOL", b"\x00\x02", [2])


def test_raw_tensors_may_be_empty() -> None:
    for datatype in DTYPES:
        assert read_raw(datatype, b"", [0, 3]).shape == (0, 3)


def test_raw_bytes_have_their_lengths_before_them() -> None:
    assert read_raw("BYTES", ITEMS, [3, 1]).tolist() == [[b"a"], [b""], [b"\xff\x00"]]


@pytest.mark.parametrize(
    ("raw", "count", "says"),
    [
        (ITEMS, 2, "left over after its last element"),
        (ITEMS, 4, "too few bytes for its 4 elements"),
        (ITEMS, 900, "too few bytes for its 900 elements"),
        (ITEMS[:-1], 3, "longer than the rest of the tensor"),
        (ITEMS, 0, "left over"),
        (b"\xff\xff\xff\xff", 1, "longer than the rest of the tensor"),
        (b"\x01\x00\x00", 1, "too few bytes"),
        (b"\x02\x00\x00\x00aa\x00\x00", 2, "ends within an element"),
        (b"", 1, "too few bytes"),
    ],
)
def test_raw_bytes_are_checked_element_by_element(raw: bytes, count: int, says: str) -> None:
    with refused(f"input 'x' .*{says}"):
        read_raw("BYTES", raw, [count])


@pytest.mark.parametrize(("header", "length"), [(None, None), (b"0", 0), (b"12", 12)])
def test_the_length_header_is_a_whole_number(header: bytes | None, length: int | None) -> None:
    assert parse_json_length(header) == length


@pytest.mark.parametrize("header", [b"", b"-1", b"+1", b"1.0", b" 1", b"0x1", b"1_0", b"9" * 19, "٣".encode()])
def test_another_length_header_is_refused(header: bytes) -> None:
    with refused("Inference-Header-Content-Length must be a whole number"):
        parse_json_length(header)


# ---- answers -----------------------------------------------------------------------------------------------------


def answer(outputs: dict[str, Any], **more: Any) -> InferenceResponse:
    return InferenceResponse({name: np.asarray(value) for name, value in outputs.items()}, "m", "2", **more)


def test_an_answer_in_json() -> None:
    body, length = encode_response(answer({"y": np.array([[1, 2]], np.int64), "t": np.array([b"a", "ñ"], object)}), "7")
    assert length is None
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "2",
        "id": "7",
        "outputs": [
            {"name": "y", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]},
            {"name": "t", "datatype": "BYTES", "shape": [2], "data": ["a", "ñ"]},
        ],
    }


def test_an_answer_without_an_id_has_none() -> None:
    assert "id" not in json.loads(encode_response(answer({"y": [1]}))[0])


def test_only_what_is_asked_for_is_sent_in_its_order() -> None:
    body, _ = encode_response(answer({"a": [1], "b": [2], "c": [3]}), outputs=("c", "a"))
    assert [output["name"] for output in json.loads(body)["outputs"]] == ["c", "a"]


def test_what_another_server_wants_to_know_goes_into_the_parameters() -> None:
    said = answer({"y": [1]}, identity="d", status="accepted", degraded=True, parameters={"job": "j"})
    parameters = json.loads(encode_response(said)[0])["parameters"]
    assert parameters == {"job": "j", "identity": "d", "status": "accepted", "degraded": True}


def test_an_answer_may_be_raw_json_or_both() -> None:
    response = answer({"y": np.array([1.5], np.float32), "z": np.array([2], np.int8), "s": np.array([b"ab"], object)})
    body, length = encode_response(response, None, BinaryOutputs(True, {"z": False}))
    assert length is not None
    assert length % 16 == 0, "so that a reader finds the tensors aligned"
    heads = json.loads(body[:length])["outputs"]
    assert [head.get("parameters") for head in heads] == [{"binary_data_size": 4}, None, {"binary_data_size": 6}]
    assert heads[1]["data"] == [2]
    assert body[length:] == struct.pack("<f", 1.5) + b"\x02\x00\x00\x00ab"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_json_cannot_say_is_refused_but_goes_raw(value: float, dtype: type) -> None:
    response = answer({"y": np.array([1, value], dtype)})
    with refused("output 'y' holds NaN or infinity, which JSON cannot express; ask for binary output", InternalError):
        encode_response(response)
    body, length = encode_response(response, None, BinaryOutputs(True))
    assert np.frombuffer(body[length:], dtype).tobytes() == response.outputs["y"].tobytes()


def test_large_finite_numbers_are_not_taken_for_infinity() -> None:
    values = [1.7e308, 1.7e308]
    assert json.loads(encode_response(answer({"y": np.array(values)}))[0])["outputs"][0]["data"] == values


def test_bytes_that_are_no_text_are_refused_in_json() -> None:
    with refused("output 'y' holds bytes that are not UTF-8.*ask for binary output"):
        encode_response(answer({"y": np.array([b"\xff"], object)}))


def test_any_layout_and_byte_order_is_sent_as_the_protocol_says() -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3)
    for view in (array, array.T, array[:, ::2], array[::-1]):
        body, length = encode_response(answer({"y": view}), None, BinaryOutputs(True))
        assert body[length:] == view.astype("<i4").tobytes()
        assert json.loads(encode_response(answer({"y": view}))[0])["outputs"][0]["data"] == view.ravel().tolist()


@pytest.mark.parametrize("binary", [False, True])
def test_what_a_model_should_not_give_is_an_internal_error(binary: bool) -> None:
    for output in (np.array([1], object), np.array([1j])):
        with refused("output 'y'", InternalError):
            encode_response(answer({"y": output}), None, BinaryOutputs(binary))
    with refused("the model gave no output 'z'", InternalError):
        encode_response(answer({"y": [1]}), None, BinaryOutputs(binary), ("z",))


def test_numpy_strings_are_bytes() -> None:
    for array in (np.array(["añ", ""]), np.array(["añ".encode(), b""])):
        assert json.loads(encode_response(answer({"y": array}))[0])["outputs"][0]["data"] == ["añ", ""]
        body, length = encode_response(answer({"y": array}), None, BinaryOutputs(True))
        assert body[length:] == b"\x03\0\0\0" + "añ".encode() + b"\0\0\0\0"


def test_64_bit_integers_are_exact_in_json() -> None:
    array = np.array([2**64 - 1, 2**53 + 1], np.uint64)
    assert json.loads(encode_response(answer({"y": array}))[0])["outputs"][0]["data"] == [2**64 - 1, 2**53 + 1]
