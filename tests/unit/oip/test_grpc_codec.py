"""Requests and answers over gRPC: what REST's codec promises, for messages."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlpatterns.errors import InternalError, InvalidInput, PredictionError, TooLarge
from mlpatterns.metadata import DTYPES, ModelMetadata, TensorSpec, datatype_of
from mlpatterns.oip.codec import DecodedRequest
from mlpatterns.oip.grpc_codec import decode_request, encode_response, read_parameters, read_tensors, write_parameters
from mlpatterns.oip.grpc_messages import DecodeError, ModelInferRequest, ModelInferResponse
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.raw_tensors import to_bytes
from mlpatterns.predictor import InferenceResponse

LIMITS = RequestLimits(max_elements=1000, max_inputs=3, max_outputs=2)
OUTPUTS = tuple(TensorSpec(name, "FP32", (-1, 1)) for name in ("y", "z", "w"))
FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def model(datatype: str = "FP32", shape: tuple[int, ...] = (-1, 2)) -> ModelMetadata:
    return ModelMetadata("m", "1", "test", (TensorSpec("x", datatype, shape),), OUTPUTS, "y")


def message(datatype: str = "FP32", shape: Any = (1, 2), raw: Any = None, **contents: Any) -> Any:
    """A request with one input, raw or with typed `contents` by field."""
    asked = ModelInferRequest(model_name="m")
    tensor = asked.inputs.add(name="x", datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    if raw is not None:
        asked.raw_input_contents.append(raw)
    return asked


def decode(asked: Any, metadata: ModelMetadata | None = None) -> DecodedRequest:
    """Reads `asked` as it arrives: from its bytes."""
    return decode_request(ModelInferRequest.FromString(asked.SerializeToString()), metadata or model(), LIMITS)


def typed(datatype: str, *values: Any, field: str | None = None) -> Any:
    asked = message(datatype, [len(values)], **{field or FIELDS[datatype]: values})
    return decode(asked, model(datatype, (-1,))).inputs["x"]


def refused(match: str, kind: type[PredictionError] = InvalidInput) -> Any:
    return pytest.raises(kind, match=match)


# ---- typed contents ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("datatype", [name for name in FIELDS if "INT" in name])
def test_typed_integers_are_exact_to_their_bounds(datatype: str) -> None:
    bounds = np.iinfo(DTYPES[datatype])
    found = typed(datatype, int(bounds.min), 0, int(bounds.max))
    assert found.dtype == DTYPES[datatype]
    assert found.tolist() == [bounds.min, 0, bounds.max]


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("INT8", 128), ("INT8", -129), ("INT16", 32768), ("INT16", -32769), ("UINT8", 256), ("UINT16", 65536)],
)
def test_typed_integers_that_do_not_fit_are_refused_and_never_wrapped(datatype: str, value: int) -> None:
    with refused(f"input 'x' has an integer that does not fit {datatype}"):
        typed(datatype, 1, value)


def test_typed_floats_keep_nan_and_infinity() -> None:
    found = typed("FP32", 1.5, float("nan"), float("inf"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([1.5, np.nan, np.inf], np.float32))
    assert typed("FP64", 0.1).tolist() == [0.1]


def test_typed_booleans_and_bytes() -> None:
    assert typed("BOOL", True, False).tolist() == [True, False]
    assert typed("BYTES", b"\xff\x00", b"").tolist() == [b"\xff\x00", b""]


def test_more_elements_than_one_step_takes_are_all_there() -> None:
    asked = message("INT32", [150_000], int_contents=range(150_000))
    found = decode_request(asked, model("INT32", (-1,)), RequestLimits()).inputs["x"]
    np.testing.assert_array_equal(found, np.arange(150_000))


def test_contents_of_another_field_are_refused() -> None:
    with refused("input 'x' has fp32_contents, but INT8 must be sent as int_contents"):
        typed("INT8", 1.0, field="fp32_contents")
    with refused("input 'x' has int_contents, but FP32 must be sent as fp32_contents"):
        decode(message(fp32_contents=[1, 2], int_contents=[1]))


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0]])
def test_contents_that_disagree_with_the_shape_are_refused(values: list[float]) -> None:
    with refused(rf"input 'x' has {len(values)} elements, but its shape \[1, 2\] needs 2"):
        decode(message(fp32_contents=values))


def test_fp16_travels_raw_only() -> None:
    with refused("FP16, which has no typed contents; send raw contents"):
        decode(message("FP16", fp32_contents=[1, 2]), model("FP16"))
    assert decode(message("FP16", raw=b"\x00<\x00@"), model("FP16")).inputs["x"].tolist() == [[1.0, 2.0]]


# ---- raw contents ------------------------------------------------------------------------------------------------


def test_raw_contents_are_a_read_only_view() -> None:
    found = decode(message(raw=np.array([1, 2], "<f4").tobytes())).inputs["x"]
    assert found.tolist() == [[1.0, 2.0]]
    assert not found.flags.writeable
    assert not found.flags.owndata


def test_raw_and_typed_contents_exclude_each_other() -> None:
    with refused("input 'x' has both raw and typed contents"):
        decode(message(raw=bytes(8), fp32_contents=[1, 2]))


def test_every_input_needs_its_own_raw_contents() -> None:
    asked = message(raw=bytes(8))
    asked.raw_input_contents.append(bytes(8))
    with refused("the message has 1 inputs, but 2 raw contents; send one for each"):
        decode(asked)


@pytest.mark.parametrize("size", [0, 7, 9])
def test_raw_contents_of_another_size_are_refused(size: int) -> None:
    with refused(f"input 'x' has {size} bytes, but its shape and datatype need 8"):
        decode(message(raw=bytes(size)))


def test_raw_strings_are_lengths_and_bytes() -> None:
    raw = b"\x01\0\0\0a\0\0\0\0"
    assert decode(message("BYTES", [2], raw=raw), model("BYTES", (-1,))).inputs["x"].tolist() == [b"a", b""]
    with refused("longer than the rest of the tensor"):
        decode(message("BYTES", [1], raw=b"\xff\xff\xff\xff"), model("BYTES", (-1,)))


# ---- what the model takes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "match", "kind"),
    [
        (message("FP64", raw=bytes(16)), "datatype 'FP64', but the model has FP32", InvalidInput),
        (message(shape=[1, 3], raw=bytes(12)), r"shape \[1, 3\], but the model has \[-1, 2\]", InvalidInput),
        (message(shape=[2], raw=bytes(8)), "shape", InvalidInput),
        (message(shape=[-1, 2], raw=bytes(8)), "negative dimension", InvalidInput),
        (message(shape=[2**62, 2**62], raw=b""), "64 bits", InvalidInput),
        (message(shape=[1] * 9, raw=bytes(8)), "9 dimensions", InvalidInput),
        (message(shape=[501, 2], raw=bytes(4008)), "more than the 1000 elements", TooLarge),
        (ModelInferRequest(), "missing input 'x'", InvalidInput),
    ],
)
def test_what_the_model_does_not_take_is_refused(asked: Any, match: str, kind: type[PredictionError]) -> None:
    with refused(match, kind):
        decode(asked)


def test_inputs_are_known_given_once_and_few() -> None:
    asked = message(raw=bytes(8))
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    asked.raw_input_contents.append(bytes(8))
    with refused("input 'x' is given twice"):
        decode(asked)
    asked.inputs[1].name = "q"
    with refused("there is no input 'q'; the model takes x"):
        decode(asked)
    for _ in range(2):
        asked.inputs.add(name="x")
    with refused("more than 3 inputs", TooLarge):
        decode(asked)


def test_outputs_are_known_asked_for_once_and_few() -> None:
    asked = message(raw=bytes(8))
    asked.outputs.add(name="z")
    asked.outputs.add(name="y").parameters["binary_data"].bool_param = True
    assert decode(asked).outputs == ("z", "y")
    asked.outputs[0].name = "q"
    with refused("there is no output 'q'; the model gives y, z, w"):
        decode(asked)
    asked.outputs[0].name = "y"
    with refused("the request names output 'y' twice"):
        decode(asked)
    asked.outputs.add(name="w")
    asked.outputs.add(name="z")
    with refused("more than 3 outputs", TooLarge):
        decode(asked)


def test_an_extension_that_is_not_offered_is_refused() -> None:
    asked = message(raw=bytes(8))
    asked.outputs.add(name="y").parameters["classification"].int64_param = 3
    with refused("output 'y' asks for classification"):
        decode(asked)


# ---- parameters --------------------------------------------------------------------------------------------------


def test_parameters_of_every_kind_come_back_as_they_went() -> None:
    given = {"b": True, "i": -(2**63), "u": 2**64 - 1, "d": 0.5, "s": "text"}
    asked = message(raw=bytes(8))
    write_parameters(asked.parameters, given)
    found = decode(asked).parameters
    assert found == given
    assert {name: type(value) for name, value in found.items()} == {name: type(v) for name, v in given.items()}


def test_what_no_parameter_can_hold_goes_as_json_text_and_none_not_at_all() -> None:
    answer = ModelInferResponse()
    write_parameters(answer.parameters, {"list": [1, "a"], "big": 2**70, "none": None})
    assert read_parameters(answer.parameters, "it") == {"list": '[1,"a"]', "big": str(2**70)}


def test_a_parameter_without_a_value_is_refused() -> None:
    asked = message(raw=bytes(8))
    asked.parameters["k"].SetInParent()
    with refused("the request: the parameter 'k' has no value"):
        decode(asked)


# ---- answers -----------------------------------------------------------------------------------------------------


def answered(response: InferenceResponse, *outputs: str, id: str | None = None) -> Any:
    return ModelInferResponse.FromString(encode_response(response, id, outputs))


def test_an_answer_is_raw_and_says_where_it_came_from() -> None:
    outputs = {"y": np.array([[1.5]], ">f4"), "z": np.array([b"a", "é"], dtype=object)}
    found = answered(InferenceResponse(outputs, "m", "3", "digest", {"k": 1}, degraded=True), id="7")
    assert (found.model_name, found.model_version, found.id) == ("m", "3", "7")
    assert read_parameters(found.parameters, "it") == {"k": 1, "identity": "digest", "degraded": True}
    assert [(t.name, t.datatype, list(t.shape)) for t in found.outputs] == [("y", "FP32", [1, 1]), ("z", "BYTES", [2])]
    assert list(found.raw_output_contents) == [b"\0\0\xc0?", b"\x01\0\0\0a\x02\0\0\0\xc3\xa9"]


def test_only_the_outputs_asked_for_are_sent_in_that_order() -> None:
    response = InferenceResponse({"y": np.zeros(1), "z": np.ones(1)}, "m", "1")
    assert [tensor.name for tensor in answered(response, "z", "y").outputs] == ["z", "y"]
    assert [tensor.name for tensor in answered(response, "z").outputs] == ["z"]
    with refused("the model gave no output 'w'", InternalError):
        answered(response, "w")


def test_an_output_that_cannot_be_sent_is_an_internal_error() -> None:
    with refused("output 'y' has no datatype", InternalError):
        answered(InferenceResponse({"y": np.zeros(1, complex)}, "m", "1"))
    with refused("output 'y' holds a int", InternalError):
        answered(InferenceResponse({"y": np.array([1], dtype=object)}, "m", "1"))


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 3_000_000])
def test_contents_of_any_size_are_framed_as_protobuf_does(size: int) -> None:
    found = answered(InferenceResponse({"y": np.ones(size, np.uint8)}, "m", "1"))
    assert list(found.raw_output_contents) == [b"\1" * size]


# ---- properties --------------------------------------------------------------------------------------------------

NUMBERS = [
    swapped
    for name, dtype in DTYPES.items()
    if name in FIELDS and name != "BYTES"
    for swapped in (dtype, dtype.newbyteorder(">"))
]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
TENSORS = st.one_of(
    *(arrays.arrays(dtype, SHAPES) for dtype in NUMBERS),
    arrays.arrays(np.dtype(object), SHAPES, elements=st.binary(max_size=5)),
)


def same(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return one.shape == other.shape and to_bytes("it", one, datatype_of(one.dtype)) == to_bytes(
        "it", other, datatype_of(other.dtype)
    )


@given(tensor=TENSORS)
def test_a_tensor_comes_back_bit_by_bit_raw(tensor: np.ndarray[Any, Any]) -> None:
    found = answered(InferenceResponse({"y": tensor}, "m", "1"))
    back = read_tensors("output", found.outputs, found.raw_output_contents, RequestLimits())["y"]
    assert same(back, tensor)


@given(tensor=TENSORS)
def test_a_tensor_comes_back_typed(tensor: np.ndarray[Any, Any]) -> None:
    datatype = datatype_of(tensor.dtype)
    values = tensor.ravel().tolist()
    asked = message(datatype, tensor.shape, **{FIELDS[datatype]: values})
    back = decode_request(asked, model(datatype, (-1,) * tensor.ndim), RequestLimits()).inputs["x"]
    assert back.shape == tensor.shape
    np.testing.assert_array_equal(back, tensor)


@given(body=st.binary(max_size=200))
def test_whatever_arrives_is_read_or_refused(body: bytes) -> None:
    with suppress(DecodeError, PredictionError):
        decode_request(ModelInferRequest.FromString(message(raw=bytes(8)).SerializeToString() + body), model(), LIMITS)


def test_a_tensor_without_contents_is_told_so_and_of_shared_memory() -> None:
    def told(**parameters: str) -> str:
        message = ModelInferRequest(model_name="m")
        tensor = message.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        for name, value in parameters.items():
            tensor.parameters[name].string_param = value
        spec = TensorSpec("x", "FP32", (-1, 2))
        with pytest.raises(InvalidInput) as raised:
            decode_request(message, ModelMetadata("m", "1", "t", (spec,), (), "y"), RequestLimits())
        return str(raised.value)

    assert told() == "input 'x' has neither typed nor raw contents"
    assert "is in shared memory" in told(shared_memory_region="r", shared_memory_byte_size="8")
