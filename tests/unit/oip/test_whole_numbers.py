"""Integers and booleans that a client writes as floats are read exactly, and nothing else is taken for one."""

from __future__ import annotations

import json
from decimal import Decimal
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput
from mlpatterns.oip.json_tensors import from_json
from mlpatterns.oip.raw_tensors import WIRE_DTYPES

INTEGERS = [name for name in WIRE_DTYPES if "INT" in name]


def read(datatype: str, text: str, *shape: int) -> np.ndarray[Any, Any]:
    return from_json("input 'x'", datatype, shape, prod(shape), text.encode())


@pytest.mark.parametrize("datatype", INTEGERS)
@pytest.mark.parametrize("text", ["[1.0, 2.000, 0.0]", "[1,2.0,0]", "[1e0, 2E+0 , 0e5]", "[10e-1,0.2e1,-0.0]"])
def test_integral_floats_are_integers(datatype: str, text: str) -> None:
    found = read(datatype, text, 3)
    assert (found.tolist(), found.dtype) == ([1, 2, 0], WIRE_DTYPES[datatype])


def test_nested_ones_too_and_their_nesting_is_checked() -> None:
    assert read("INT32", "[[1.0, 2], [3e0, 4.0]]", 2, 2).tolist() == [[1, 2], [3, 4]]
    assert read("BOOL", "[[1.0], [0]]", 2, 1).tolist() == [[True], [False]]
    assert read("INT8", "7.0").tolist() == 7
    for datatype in ("INT32", "BOOL"):
        with pytest.raises(InvalidInput, match=r"data is nested as \[1, 2\], but its shape is \[2, 1\]"):
            read(datatype, "[[1.0, 0.0]]", 2, 1)
        with pytest.raises(InvalidInput, match="lists of different lengths"):
            read(datatype, "[[1.0, 0.0], [1.0]]", 2, 2)


@pytest.mark.parametrize("value", ["9007199254740993", "9223372036854775807", "-9223372036854775808"])
def test_a_large_one_with_a_point_is_exact(value: str) -> None:
    assert read("INT64", f"[{value}.0, {value}]", 2).tolist() == [int(value)] * 2


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("INT64", "1.5", "has 1.5, which is not an integer"),
        ("UINT8", "1e-1", "has 0.1, which is not an integer"),
        ("INT64", "9223372036854775808.0", "does not fit INT64"),
        ("UINT64", "-1.0", "does not fit UINT64|expected an integer >= 0"),
        ("INT8", "128.0", "does not fit INT8|expected an integer <= 127"),
        ("INT8", "1e3", "does not fit INT8"),
        ("INT64", "1e16", "may be rounded; send it as an integer"),
        ("INT64", "1e300", "may be rounded"),
        ("INT64", "1e999", "out of range"),
        ("INT64", "9007199254740993e0", "may be rounded"),
        ("INT64", "1.00000000000000000001", "more digits than a float holds"),
        ("INT64", "1.00000000000000000001e0", "more digits than a float holds"),
        ("INT64", "4503599627370497.5", "more digits than a float holds"),  # of which a float makes ...498
        ("INT64", "45035996273704975e-1", "more digits than a float holds"),
        ("BOOL", "2", "has 2, but a BOOL is true or false, or 1 or 0"),
        ("BOOL", "0.5", "has 0.5, but a BOOL"),
        ("BOOL", "-1.0", "has -1, but a BOOL"),
    ],
)
def test_nothing_is_rounded_or_wrapped(datatype: str, value: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read(datatype, f"[{value}]", 1)


def test_a_boolean_may_be_a_number() -> None:
    assert read("BOOL", "[true, 1, 1.0, false, 0, 0.0]", 6).tolist() == [True, True, True, False, False, False]


def _spelt(number: int, how: int) -> str:
    """One integer in the ways in which JSON writes it."""
    return (str(number), f"{number}.0", f"{number}.000", f"{number}e0", repr(float(number)))[how % 5]


@given(st.lists(st.tuples(st.integers(-(2**53) + 1, 2**53 - 1), st.integers(0, 4)), min_size=1, max_size=20))
def test_every_spelling_of_an_integer_is_that_integer(given_: list[tuple[int, int]]) -> None:
    numbers = [number for number, _ in given_]
    text = f"[{', '.join(_spelt(*pair) for pair in given_)}]"
    try:
        assert read("INT64", text, len(numbers)).tolist() == numbers
    except InvalidInput as error:  # more digits than a float is sure to hold, beside an exponent
        assert "send it as an integer" in str(error)  # noqa: PT017
        assert any("e" in _spelt(*pair) and len(str(abs(pair[0]))) > 15 for pair in given_)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), min_size=1, max_size=8))
def test_what_is_read_is_what_was_written_or_it_is_refused(numbers: list[float]) -> None:
    text = json.dumps(numbers)
    try:
        found = read("INT64", text, len(numbers)).tolist()
    except InvalidInput:
        assert any(n != int(n) or abs(n) >= 2**53 or len(repr(n)) > 15 for n in numbers)
    else:
        assert found == [int(Decimal(repr(n))) for n in numbers]
