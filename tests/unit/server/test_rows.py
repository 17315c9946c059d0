"""Rows of JSON to arrays, and the sentence for each way of getting it wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput, PredictionError, TooLarge
from mlpatterns.metadata import TensorSpec
from mlpatterns.server.rows import decoder_for
from unit.server.doubles import FIELDS

IRIS = decoder_for(TensorSpec("input", "FP32", (-1, 4), fields=FIELDS), 1000)
UNNAMED = decoder_for(TensorSpec("input", "FP32", (-1, 4)), 1000)
NAMED = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
NOT_JSON = "the body is not valid JSON: invalid character"
ALLOW = " (allow it with missing=True in the model's TensorSpec or --missing sepal_width)"


def body(data: Any) -> bytes:
    return json.dumps({"data": data}).encode()


def test_one_row_becomes_one_row_of_the_declared_datatype() -> None:
    array = IRIS(body([[5.1, 3.5, 1.4, 0.2]]))
    assert array.dtype == np.float32
    assert array.shape == (1, 4)


def test_rows_by_name_are_put_in_the_order_of_the_columns() -> None:
    row = dict(reversed(NAMED.items()))
    np.testing.assert_array_equal(IRIS(body([row, row])), IRIS(body([[5.1, 3.5, 1.4, 0.2]] * 2)))


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"", "the body is not valid JSON: it is empty"),
        (b'{"data": [{"\xe2": 1}]}', "the body is not valid JSON: it is not UTF-8"),
        (b'{"data": [[NaN, 1, 1, 1]]}', "the body is not valid JSON, which has no NaN; send null for a missing value"),
        (b'{"data": [[Infinity, 1, 1, 1]]}', "the body is not valid JSON, which has no infinity"),
        (b'{"data": [[1, -Infinity, 1, 1]]}', "the body is not valid JSON, which has no infinity"),
        (b"[]", "the body must be an object, not a list"),
        (b"{}", "the body must be an object with the field data"),
        (body(None), "data must be a list, not null"),
        (body("5.1"), "data must be a list, not a string"),
        (body([]), "data must hold at least one row"),
        (body([[]]), f"data[0] has 0 values, expected 4 ({', '.join(FIELDS)})"),
        (body([5.1, 3.5, 1.4, 0.2]), "data[0] must be a row, not a number"),
        (body([[1, 2, 3]]), f"data[0] has 3 values, expected 4 ({', '.join(FIELDS)})"),
        (body([[1, 2, 3, 4], [1, 2]]), f"data[1] has 2 values, expected 4 ({', '.join(FIELDS)})"),
        (body([[1, 2, 3, "4"]]), "data[0][3] (petal_width) must be a number, not a string"),
        (body([[1, None, 3, 4]]), f"data[0][1] (sepal_width) must be a number, not null{ALLOW}"),
        (body([[True, 2, 3, 4]]), "data[0][0] (sepal_length) must be a number, not a boolean"),
        (body([[[1], 2, 3, 4]]), "data[0][0] (sepal_length) must be a number, not a list"),
        (b'{"data": [[1e999, 2, 3, 4]]}', "data[0][0] (sepal_length): number out of range"),
        (body([[1e39, 2, 3, 4]]), "data holds 1e+39, which does not fit a float32"),
        (body([[1, 2, 3, 4], [-1e39, 2, 3, 4]]), "data holds a number that does not fit a float32"),
        (body([{**NAMED, "petal_width": "0.2"}]), "data[0]: petal_width must be a number, not a string"),
        (body([{"sepal_length": 1, "sepal_widht": 2, "petal_length": True}]),
         ("data[0]: petal_length must be a number, not a boolean; missing sepal_width, petal_width; "
          "unknown sepal_widht (to drop unknown columns, serve with --extra-columns ignore)")),
        (body([NAMED, [1, 2, 3, 4]]), "data[1] is a list, but the first row is an object: use one form for all"),
        (body([[1, 2, 3, 4], NAMED]), "data[1] is an object, but the first row is a list: use one form for all"),
        (b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}", "data[0][0] (sepal_length) must be a number, not a list"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(sent: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        IRIS(sent)
    assert str(caught.value) == sentence


def test_a_model_without_column_names_says_so_to_rows_by_name() -> None:
    with pytest.raises(InvalidInput, match="have no names"):
        UNNAMED(body([NAMED]))


def test_more_numbers_than_the_limit_are_too_large() -> None:
    with pytest.raises(TooLarge):
        IRIS(body([[1, 2, 3, 4]] * 251))


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64", "BOOL", "BYTES"])
@pytest.mark.parametrize(("shape", "rows"), [((-1, -1), 1), ((-1, -1), 2), ((-1, 12), 1), ((-1, 6), 2)])
def test_the_limit_is_of_all_numbers_however_they_are_arranged(
    datatype: str, shape: tuple[int, ...], rows: int
) -> None:
    value: Any = {"BYTES": "a", "BOOL": True}.get(datatype, 1)
    spec = TensorSpec("input", datatype, shape)
    sent = body([[value] * (12 // rows)] * rows)
    assert decoder_for(spec, 12)(sent).size == 12
    with pytest.raises(TooLarge):
        decoder_for(spec, 11)(sent)


def test_integers_are_never_rounded_or_wrapped() -> None:
    decode = decoder_for(TensorSpec("input", "INT64", (-1, 2)), 1000)
    assert decode(body([[9007199254740993, -9223372036854775808]])).tolist() == [[9007199254740993, -(2**63)]]
    for wrong in ([[1.5, 2]], [[True, 2]], [[2**63, 2]]):
        with pytest.raises(InvalidInput):
            decode(body(wrong))
    with pytest.raises(InvalidInput, match=r"data\[0\]\[1\] is 9007199254740992.0, which may be rounded; send it as"):
        decode(b'{"data": [[1.0, 9007199254740993.0]]}')  # the float is one less


def test_an_out_of_range_small_integer_is_refused() -> None:
    decode = decoder_for(TensorSpec("input", "UINT8", (-1, 2)), 1000)
    for wrong in ([[256, 1]], [[-1, 1]]):
        with pytest.raises(InvalidInput):
            decode(body(wrong))


@pytest.mark.parametrize("wrong", [[[[1, 2], [3]]], [[[1, 2]]], [], [[]], "x", [[[1, 2], [3, 4], [5, 6]]]])
def test_a_tensor_of_higher_rank_must_have_its_shape(wrong: Any) -> None:
    decode = decoder_for(TensorSpec("input", "FP32", (-1, 2, 2)), 1000)
    assert decode(body([[[1, 2], [3, 4]]])).shape == (1, 2, 2)
    with pytest.raises(InvalidInput):
        decode(body(wrong))


@pytest.mark.parametrize(
    "sent", [b'{"data": 5}', b'{"data": []}', b'{"data": [5]}', b'{"other": "x"}', b'{"data": "%%"}']
)
def test_an_image_must_be_base64_text(sent: bytes) -> None:
    with pytest.raises(InvalidInput):
        decoder_for(TensorSpec("input", "BYTES", (-1, 1), content="image"), 10)(sent)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (["%%"], "the image is not valid base64"),
        (["aGk=", "aGk=", "%%"], "image 3 of 3 is not valid base64"),
        ([["aGk="], ["%%"], ["aGk="]], "image 2 of 3 is not valid base64"),
        ([{"image": "aGk="}, {"image": "%%"}], "data[1]: the image is not valid base64"),
        ({"image": ["%%", "aGk="]}, "data: image 1 of 2 is not valid base64"),
    ],
)
def test_an_image_among_several_that_is_no_base64_is_named_by_its_number(data: Any, sentence: str) -> None:
    decode = decoder_for(TensorSpec("image", "BYTES", (-1, 1), content="image"), 10)
    with pytest.raises(InvalidInput) as refused:
        decode(body(data))
    assert str(refused.value) == sentence


def test_an_image_under_both_of_its_names_is_refused_lest_one_be_ignored() -> None:
    decode = decoder_for(TensorSpec("input", "BYTES", (-1, 1), content="image"), 10)
    with pytest.raises(InvalidInput, match="a field: number out of range"):
        decode(b'{"data": 1e999}')
    with pytest.raises(InvalidInput, match="data or image_data, not both"):
        decode(b'{"data": "aGk=", "image_data": true}')


FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.lists(FLOAT32, min_size=4, max_size=4), min_size=1, max_size=20))
def test_what_is_sent_is_what_arrives(rows: list[list[float]]) -> None:
    np.testing.assert_array_equal(IRIS(body(rows)), np.array(rows, np.float32))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from([*FIELDS, "x", "data"]), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(ANY_JSON | st.fixed_dictionaries({"data": ANY_JSON}) | st.binary(max_size=50))
def test_nothing_that_is_sent_raises_anything_but_an_error_with_a_code(sent: Any) -> None:
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    for spec in (
        TensorSpec("input", "FP32", (-1, 4), fields=FIELDS),
        TensorSpec("input", "FP16", (-1, -1)),
        TensorSpec("input", "INT8", (-1, 2)),
        TensorSpec("input", "BOOL", (-1,)),
        TensorSpec("input", "FP64", (-1, 2, 2)),
        TensorSpec("input", "BYTES", (-1, 1), content="image"),
        TensorSpec("input", "BYTES", (-1,), content="key"),
    ):
        try:
            array = decoder_for(spec, 100)(raw)
        except PredictionError:
            continue
        assert array.ndim == len(spec.shape)
        assert array.size


@pytest.mark.parametrize(
    ("shape", "data", "sentence"),
    [
        ((4, 2), [[1, 2]], "data has 1 row, but the model takes 4 at once"),
        ((1, 2), [[1, 2], [3, 4]], "data has 2 rows, but the model takes 1 at once"),
        ((-1, 1, -1, -1), [], "data must hold at least one row"),
        ((-1, 1, -1), [[[1, 2]], [[3]]], "data has lists of different lengths, expected the shape [-1, 1, -1]"),
    ],
)
def test_rows_of_another_shape_are_one_sentence(shape: tuple[int, ...], data: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decoder_for(TensorSpec("x", "FP32", shape), 1000)(body(data))
    assert str(caught.value) == sentence
