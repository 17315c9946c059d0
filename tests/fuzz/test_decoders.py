"""Every reader of bytes from the network under the fuzzer: it answers or refuses, and costs memory in proportion.

A few thousand inputs with every `make test`, a hundred times as many in `make chaos`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from fuzz.fuzzer import Mutation, fuzz
from fuzz.json_mutation import framed, mutate_json, unframed
from fuzz.message_mutation import mutation_of
from mlpatterns.errors import PredictionError
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.models.image.layout import layout_of
from mlpatterns.models.image.pixels import ImageLimits, image_file, opened, pixels, prepare
from mlpatterns.oip import grpc_client_codec, grpc_codec
from mlpatterns.oip.client_codec import decode_response, encode_request
from mlpatterns.oip.codec import BinaryOutputs, decode_request, encode_response
from mlpatterns.oip.compression import decompress
from mlpatterns.oip.grpc_messages import ModelInferRequest, ModelInferResponse
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.predictor import InferenceResponse
from mlpatterns.server.grpc.call import parse_message
from mlpatterns.server.rows import decoder_for, reader_for

CHAOS = int(os.environ.get("MLPATTERNS_CHAOS", "1"))
CASES = 3_000 * CHAOS**2
SECONDS = 60.0 * CHAOS
LIMITS = RequestLimits(max_elements=4096, max_inputs=8, max_outputs=8)
MEMORY = 2 * 1024 * 1024
IMAGE = layout_of(TensorSpec("pixels", "FP32", (-1, 4, 4, 3)))

INPUTS = (
    TensorSpec("x", "FP32", (-1, 4), fields=("a", "b", "c", "d")),
    TensorSpec("n", "INT64", (-1,)),
    TensorSpec("s", "BYTES", (-1, -1)),
    TensorSpec("b", "BOOL", (-1,)),
    TensorSpec("h", "FP16", (-1, 2)),
)
MODEL = ModelMetadata("m", "1", "test", INPUTS, (TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "BYTES", (-1,))), "y")
ARRAYS: dict[str, Array] = {
    "x": np.ones((2, 4), np.float32),
    "n": np.array([1, -(2**63)]),
    "s": np.array([[b"ab"], [b""]], object),
    "b": np.array([True, False]),
    "h": np.ones((2, 2), np.float16),
}
JSON = (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[[1,2,3,4]]},'
        b'{"name":"n","datatype":"INT64","shape":[1],"data":[9223372036854775807]},'
        b'{"name":"s","datatype":"BYTES","shape":[1,1],"data":["a"]},'
        b'{"name":"b","datatype":"BOOL","shape":[1],"data":[true]},'
        b'{"name":"h","datatype":"FP16","shape":[1,2],"data":[1,2]}],'
        b'"outputs":[{"name":"y","parameters":{"binary_data":true}}],"id":"7","parameters":{"k":1}}')  # fmt: skip
FLOATS = (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[3,4],"data":[1,2,3,4,5,6,7,8,9,10,11,12]},'
          b'{"name":"n","datatype":"INT64","shape":[3],"data":[1.0,9007199254740993.0,-2e3]},'
          b'{"name":"s","datatype":"BYTES","shape":[3,1],"data":[["a"],["\\ud83d\\ude00"],[""]]},'
          b'{"name":"b","datatype":"BOOL","shape":[3],"data":[1.0,0,true]},'
          b'{"name":"h","datatype":"FP16","shape":[3,2],"parameters":{"binary_data_size":0},'
          b'"data":[[1e0,2],[3,4],[5,6]]}]}')  # fmt: skip
WORDS = (
    b'"binary_data_size":', b'"shape":[', b'"datatype":"BYTES"', b'"data":[', b"null", b"true", b"[[[[", b"]]]]",
    b'"parameters":{', b'\\u0000', b"\xff", b"FP32", b"INT8", b"UINT64", b"NaN", b"1.5",
    b"1.0", b"1e3", b"-0.0", b"\\ud800", b"\\udc00", b"1.00000000000000001", b"9007199254740993.0",
)  # fmt: skip


def read_request(data: bytes) -> None:
    """What was read fits the model, and read again from what is written of it, it is the same."""
    asked = decode_request(*unframed(data), MODEL, LIMITS)
    assert {name: array.dtype for name, array in asked.inputs.items()} == {s.name: DTYPES[s.datatype] for s in INPUTS}
    again = decode_request(*encode_request(asked.inputs, INPUTS, asked.id), MODEL, LIMITS)
    for name, array in asked.inputs.items():
        assert array.tobytes() == again.inputs[name].tobytes() or array.tolist() == again.inputs[name].tolist()


def read_response(data: bytes) -> None:
    decode_response(*unframed(data), LIMITS)


def read_message(data: bytes) -> None:
    """As `read_request`, for a message."""
    asked = grpc_codec.decode_request(parse_message(ModelInferRequest, data), MODEL, LIMITS)
    assert {name: array.dtype for name, array in asked.inputs.items()} == {s.name: DTYPES[s.datatype] for s in INPUTS}
    body = grpc_client_codec.encode_request("m", asked.inputs, INPUTS, asked.id, asked.parameters)
    again = grpc_codec.decode_request(ModelInferRequest.FromString(body), MODEL, LIMITS)
    for name, array in asked.inputs.items():
        assert array.tobytes() == again.inputs[name].tobytes() or array.tolist() == again.inputs[name].tolist()


def read_answer(data: bytes) -> None:
    grpc_client_codec.decode_response(data)


def typed_message() -> bytes:
    message = ModelInferRequest.FromString(grpc_client_codec.encode_request("m", ARRAYS, INPUTS, "7", {"k": 1}, ("y",)))
    del message.raw_input_contents[:]
    for tensor, field in zip(message.inputs, ("fp32", "int64", "bytes", "bool"), strict=False):
        getattr(tensor.contents, f"{field}_contents").extend(ARRAYS[tensor.name].ravel().tolist())
    return bytes(message.SerializeToString())


def unpack(data: bytes) -> None:
    coding, _, body = data.partition(b"\n")
    assert len(decompress(body, coding.decode("latin-1"), 1 << 20, 100)) <= 1 << 20


def read_image(data: bytes) -> None:
    prepare()
    found = pixels(opened(data, "it", ImageLimits(2**20, 100_000)), "it", IMAGE, "black", "box")
    assert found.shape == (4, 4, 3)
    assert found.dtype == np.uint8


def rows_of(spec: TensorSpec) -> Callable[[bytes], None]:
    read = decoder_for(spec, 4096)

    def target(data: bytes) -> None:
        array = read(unframed(data)[0])
        assert array.dtype == DTYPES[spec.datatype]
        assert array.ndim == len(spec.shape)
        assert array.size <= 4096
        assert array.dtype.kind != "f" or np.isfinite(array).all()

    return target


TABLE = (
    TensorSpec("age", "FP32", (-1, 1), missing=True),
    TensorSpec("sex", "BYTES", (-1, 1)),
    TensorSpec("class", "INT8", (-1,)),
    TensorSpec("alone", "BOOL", (-1, 1)),
    TensorSpec("meta", "FP16", (-1, 2, 2)),
    TensorSpec("n", "INT64", (-1, 2), fields=("a", "b")),
)
ROW = b'{"age": null, "sex": "m", "class": 3.0, "alone": true, "meta": [[1, 2], [3, 4]], "a": 1, "b": 9007199254740993}'
COLUMNS = (b'{"age": [22, 1e3], "sex": ["m", "f"], "class": [3, 1], "alone": [true, false], '
           b'"meta": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "n": [[1, 2], [3, 4]]}')  # fmt: skip


def several_rows(data: bytes) -> None:
    """What was read are the inputs of the model, of one number of rows."""
    found = read_several(unframed(data)[0])
    assert list(found) == [spec.name for spec in TABLE]
    for spec in TABLE:
        array = found[spec.name]
        assert array.dtype == DTYPES[spec.datatype]
        assert array.shape == (len(found["age"]), *spec.shape[1:])
        assert array.dtype.kind != "f" or not np.isinf(array).any()


read_several = reader_for(TABLE, 4096)


def packed(wbits: int) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return engine.compress(JSON) + engine.flush()


RESPONSE = InferenceResponse({"y": np.ones(2, np.float32), "z": np.array([b"a", b""], object)}, "m", "1", "digest")
ROWS = (b'\n{"data": [[5.1, 3.5, 1.4, 0.2], [1, 2, 3, 4]]}', b'\n{"data": [{"a": 1, "b": 2, "c": 3, "d": 4}]}')
ROW_FILES = [
    f"rows/{name}.py" for name in ("cells", "column", "floats", "named", "nested", "several", "table", "texts")
]
MUTATIONS: dict[str, Mutation] = {
    "request over grpc": mutation_of(ModelInferRequest, "inputs", "raw_input_contents"),
    "response over grpc": mutation_of(ModelInferResponse, "outputs", "raw_output_contents"),
}
TARGETS: dict[str, tuple[Callable[[bytes], None], Sequence[bytes], Sequence[str]]] = {
    "request": (
        read_request,
        [framed(JSON, None), framed(FLOATS, None), framed(*encode_request(ARRAYS, INPUTS, "7", {"k": 1}, ("y",)))],
        [
            f"oip/{name}.py"
            for name in ("codec", "outputs", "tensors", "raw_tensors", "json_tensors", "whole_numbers", "wire")
        ],
    ),
    "response": (
        read_response,
        [framed(*encode_response(RESPONSE, "7", BinaryOutputs(default))) for default in (True, False)],
        ["oip/client_codec.py", "oip/tensors.py", "oip/raw_tensors.py", "oip/json_tensors.py", "oip/wire.py"],
    ),
    "request over grpc": (
        read_message,
        [grpc_client_codec.encode_request("m", ARRAYS, INPUTS, "7", {"k": 1}, ("y",)), typed_message()],
        ["oip/grpc_codec.py", "oip/tensors.py", "oip/raw_tensors.py"],
    ),
    "response over grpc": (
        read_answer,
        [grpc_codec.encode_response(RESPONSE, "7")],
        ["oip/grpc_client_codec.py", "oip/grpc_codec.py", "oip/tensors.py", "oip/raw_tensors.py"],
    ),
    "compression": (
        unpack,
        [b"gzip\n" + packed(31), b"deflate\n" + packed(15), b"deflate\n" + packed(-15), b"identity\n" + JSON],
        ["oip/compression.py"],
    ),
    "float rows": (rows_of(INPUTS[0]), ROWS, ROW_FILES),
    "nested rows": (
        rows_of(TensorSpec("i", "INT8", (-1, 2, 2))),
        [b'\n{"data": [[[1, 2], [3, -4]]]}'],
        ROW_FILES,
    ),
    "text rows": (
        rows_of(TensorSpec("t", "BYTES", (-1, 1))),
        [b'\n{"data": ["a", "b"]}', b'\n{"data": "0000"}'],
        ROW_FILES,
    ),
    "two columns of text": (
        rows_of(TensorSpec("t", "BYTES", (-1, 2), fields=("a", "b"))),
        [b'\n{"data": [["a", "b"]]}', b'\n{"data": [{"a": "x", "b": "y"}]}', b'\n{"data": {"a": ["x"], "b": ["y"]}}'],
        ROW_FILES,
    ),
    "rows of several inputs": (
        several_rows,
        [b'\n{"data": [' + ROW + b", " + ROW + b"]}", b'\n{"data": ' + COLUMNS + b"}"],
        ROW_FILES,
    ),
    "image files": (
        read_image,
        [image_file(np.eye(6), 12, kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP")],
        ["models/image_pixels.py", "PIL/PngImagePlugin.py", "PIL/JpegImagePlugin.py", "PIL/GifImagePlugin.py"],
    ),
    "image rows": (
        rows_of(TensorSpec("t", "BYTES", (-1, 1), content="image")),
        [b'\n{"image_data": ["aGk=", ""]}'],
        ROW_FILES,
    ),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.slow
def test_it_answers_or_refuses_whatever_it_is_sent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    target, seeds, files = TARGETS[name]
    report = fuzz(
        target, seeds, files=files, words=WORDS, mutation=MUTATIONS.get(name, mutate_json), cases=CASES,
        seconds=SECONDS, allowed=PredictionError, memory=MEMORY,
    )  # fmt: skip
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what one wants to see of it
            f"\n{name}: {report.cases} cases, {report.refused} refused, {report.parents} parents, "
            f"{report.steps} steps, {len(report.finds)} finds"
        )
    assert report.finds == {}
