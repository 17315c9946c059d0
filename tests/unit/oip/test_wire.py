"""What a request is told that is not JSON, or not the JSON that it says it is: what is really wrong."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.oip.codec import decode_request
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.wire import what_it_is

TEXT = ModelMetadata("m", "1", "t", (TensorSpec("x", "BYTES", (-1, -1)),), (TensorSpec("y", "FP32", (-1,)),), "y")
NUMBERS = ModelMetadata("m", "1", "t", (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),), "y")


def request(data: str, datatype: str = "FP32", shape: str = "[1,2]", more: str = "") -> bytes:
    tensor = f'{{"name":"x","datatype":"{datatype}","shape":{shape}{more},"data":{data}}}'
    return f'{{"inputs":[{tensor}]}}'.encode()


RAW = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'


def told(body: bytes, length: int | None = None, model: ModelMetadata = NUMBERS) -> str:
    with pytest.raises(InvalidInput) as raised:
        decode_request(body, length, model, RequestLimits())
    return str(raised.value)


@pytest.mark.parametrize("text", [r'["\ud800"]', r'["a\udc00b"]', r'["\\\ud83d\u0041"]', r'["\ud83d\ude00\udbff "]'])
def test_half_a_surrogate_pair_is_called_by_its_name(text: str) -> None:
    assert "half of a surrogate pair, which is not a character" in told(request(text, "BYTES", "[1,1]"), None, TEXT)


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0xD800, 0xDFFF))
def test_and_is_found_between_whatever_stands_around_it(before: str, after: str, half: int) -> None:
    head, tail = json.dumps(before)[:-1], json.dumps(after)[1:]
    whole = f'{head}","\\u{half:04x}","{tail}'.encode()
    assert f"\\u{half:04x}" in str(what_it_is(whole))
    assert "surrogate" not in str(what_it_is(f'{head}","\\ud83d\\ude00\\\\ud800","{tail}'.encode()))


@pytest.mark.parametrize(
    ("data", "shape", "words"),
    [
        ("[[1],[2]]", "[1,2]", "data is nested as [2, 1], but its shape is [1, 2]"),
        ("[[[1,2]]]", "[1,2]", "data is nested 3 deep; it must be a flat list, or nested as its shape [1, 2]"),
        ("[[1,2],[3]]", "[2,2]", "data has lists of different lengths"),
        ("[1,2,3]", "[1,2]", "its shape [1, 2] has 2 elements, but data has 3"),
        (f"[{'1,' * 99}1]", "[1,2]", "data has more elements than its shape [1, 2] says"),
        ("[1,2,]", "[1,2]", "trailing comma in array"),
        ('"AAAA"', "[1,2]", "data is not a list; it must be a flat list"),
        ('{"b64":"AAAA"}', "[1,2]", "data is not a list"),
        ("[NaN,1]", "[1,2]", "JSON, which has no NaN"),
        ("[-Infinity,1]", "[1,2]", "JSON, which has no -Infinity"),
    ],
)
def test_data_that_is_not_what_its_shape_says(data: str, shape: str, words: str) -> None:
    assert words in told(request(data, "FP32", shape))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('[["a","b"]]', "data is nested as [1, 2], but its shape is [2, 1]"),
        ('[["a"],["b","c"]]', "data has lists of different lengths"),
        ('["a"]', "its shape [2, 1] has 2 elements, but data has 1"),
    ],
)
def test_texts_too(data: str, words: str) -> None:
    assert words in told(request(data, "BYTES", "[2,1]"), None, TEXT)


HEADER = "Inference-Header-Content-Length"


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (b"\0\0\x80?\0\0\0@", 0, f"the header {HEADER} is 0, but the body must begin with JSON that names its tensors"),
        (b"\0\0\x80?\0\0\0@", None, f"the header {HEADER} must say how long the JSON is"),
        (RAW + b"abcdefgh", None, f"the header {HEADER} must say how long the JSON is"),
        (RAW + b"abcdefgh", len(RAW) - 1, f"the header {HEADER} says that the JSON has {len(RAW) - 1} bytes"),
        (RAW + b"abcdefgh", len(RAW) + 1, f"the header {HEADER} says that the JSON has {len(RAW) + 1} bytes"),
        (RAW, None, f"has a binary_data_size, but the header {HEADER} is missing"),
        (gzip.compress(RAW, mtime=0), None, "it is compressed; say so with the header Content-Encoding: gzip"),
        (b"\xef\xbb\xbf" + RAW, None, "byte order mark"),
        (RAW.decode().encode("utf-16"), None, "it is UTF-16"),
        (b" ", None, "it is empty"),
        (b"{'inputs': []}", None, "double quotes"),
    ],
)
def test_what_is_wrong_with_the_body(body: bytes, length: int | None, words: str) -> None:
    assert words in told(body, length)


@pytest.mark.parametrize("more", [',"parameters":{"binary_data_size":0}'])
def test_no_raw_bytes_need_no_header(more: str) -> None:
    def read(data: str, shape: str) -> Any:
        return decode_request(request(data, "FP32", shape, more), None, NUMBERS, RequestLimits()).inputs["x"].tolist()

    assert read("[1,2]", "[1,2]") == [[1, 2]]
    assert read("null", "[0,2]") == []
    assert re.search("has 0 bytes, but its shape and datatype need 8", told(request("null", more=more)))
