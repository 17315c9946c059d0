"""Integers and booleans that a client writes as floats, 3.0 or 1e3: read exactly, or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np

from mlpatterns.errors import InvalidInput
from mlpatterns.oip.wire import MALFORMED, sentence

__all__ = ["whole_numbers"]

EXACT = 2**53  # below it, floats tell all integers apart
_NO_FRACTION = re.compile(rb"(?<=[0-9])\.0++(?=[\s,\]]|$)")
# 16 digits or more, some behind a point, or 17 and an exponent: a float would round them, perhaps to an integer.
_BEYOND_FLOATS = re.compile(rb"(?<![0-9.])(?:(?=[0-9]*+\.)[0-9.]{17,}+|[0-9]{17,}+[eE])")


def whole_numbers(what: str, datatype: str, depth: int, text: bytes, decode: Callable[[bytes], Any]) -> Any:
    """The integers or booleans in `text`, which is JSON, in lists nested `depth` deep.

    An integer with a point and zeros behind it is exact at any size, one with an exponent below 2**53.

    Args:
        decode: reads what is written as integers, or as booleans.

    Raises:
        InvalidInput: there is something else, or a number that is no integer, or for a BOOL neither 0 nor 1.
    """
    try:
        return decode(text.replace(b".0,", b",").replace(b".0]", b"]"))  # how nearly all are written
    except MALFORMED:
        text = _NO_FRACTION.sub(b"", text)
    try:
        values = _decoder(datatype == "BOOL", depth).decode(text)
    except MALFORMED as error:
        raise InvalidInput(f"{what}: {sentence(error, 'data', text)}") from None
    found = _booleans(what, values, depth) if datatype == "BOOL" else _integers(what, values, depth)
    if _BEYOND_FLOATS.search(text):  # after a look at each: most of these are no integers
        raise InvalidInput(f"{what} has a number with more digits than a float holds; send it as an integer")
    return found


@lru_cache(maxsize=64)
def _decoder(booleans: bool, depth: int) -> msgspec.json.Decoder[Any]:
    kind: Any = bool | int | float if booleans else int | float
    for _ in range(depth):
        kind = GenericAlias(list, (kind,))
    return msgspec.json.Decoder(kind)


def _integers(what: str, values: Any, depth: int) -> Any:
    numbers = _floats(values)
    if numbers is not None and (np.abs(numbers) < EXACT).all() and (numbers == np.floor(numbers)).all():
        return numbers.astype(np.int64).tolist()
    return _each(_integer, what, values, depth)


def _booleans(what: str, values: Any, depth: int) -> Any:
    numbers = _floats(values)
    if numbers is not None and ((numbers == 0) | (numbers == 1)).all():
        return numbers.astype(np.bool_).tolist()
    return _each(_bit, what, values, depth)


def _floats(values: Any) -> Any:
    """All at once, where that can be: None if lists differ in length, or an integer is no float at all."""
    try:
        return np.array(values, np.float64)
    except (ValueError, OverflowError):
        return None


def _each(read: Callable[[str, float], int], what: str, values: Any, depth: int) -> Any:
    """The same one by one: exact for integers of any size, and in words for what is none."""
    if depth == 0:
        return read(what, values)
    if depth == 1:
        return [read(what, value) for value in values]
    return [_each(read, what, part, depth - 1) for part in values]


def _integer(what: str, value: float) -> int:
    if type(value) is int:
        return value
    if not value.is_integer():
        raise InvalidInput(f"{what} has {value}, which is no integer")
    if abs(value) >= EXACT:
        raise InvalidInput(f"{what} has {value}, which may be rounded; send it as an integer, without an exponent")
    return int(value)


def _bit(what: str, value: float) -> bool:
    if value not in (0, 1):
        raise InvalidInput(f"{what} has {value}, but a BOOL is true or false, or 1 or 0")
    return bool(value)
