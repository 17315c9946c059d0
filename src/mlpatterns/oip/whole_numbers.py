"""Reads integers and booleans that a client writes as floats, such as 3.0 or 1e3, exactly or refuses them."""

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

EXACT = 2**53  # a float represents every smaller integer exactly
_NO_FRACTION = re.compile(rb"(?<=[0-9])\.0++(?=[\s,\]]|$)")
# At least 16 digits with a point, or 17 and an exponent: a float would round such a number, perhaps to an integer.
_BEYOND_FLOATS = re.compile(rb"(?<![0-9.])(?:(?=[0-9]*+\.)[0-9.]{17,}+|[0-9]{17,}+[eE])")


def whole_numbers(what: str, datatype: str, depth: int, text: bytes, decode: Callable[[bytes], Any]) -> Any:
    """Reads integers or booleans from JSON `text`, in lists that are nested `depth` deep.

    An integer may have any size if only zeros follow its decimal point. A number with an exponent must be below 2**53.

    Args:
        what: the tensor's name in error texts.
        decode: reads text in which all elements are written as integers, or as booleans for the datatype BOOL.

    Raises:
        InvalidInput: an element is not a number, is not an integer, may have been rounded, or is a BOOL other than 0
            and 1.
    """
    try:
        return decode(text.replace(b".0,", b",").replace(b".0]", b"]"))  # nearly all clients write them as 3.0
    except MALFORMED:
        text = _NO_FRACTION.sub(b"", text)
    try:
        values = _decoder(datatype == "BOOL", depth).decode(text)
    except MALFORMED as error:
        raise InvalidInput(f"{what}: {sentence(error, 'data', text)}") from None
    found = _booleans(what, values, depth) if datatype == "BOOL" else _integers(what, values, depth)
    if _BEYOND_FLOATS.search(text):  # after the checks of the elements, which have more specific error texts
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
    """All values as one array; None if the lists differ in length, or an integer is too large for a float."""
    try:
        return np.array(values, np.float64)
    except (ValueError, OverflowError):
        return None


def _each(read: Callable[[str, float], int], what: str, values: Any, depth: int) -> Any:
    """Reads the values one by one. Integers of any size stay exact, and `read` raises the error for a wrong value."""
    if depth == 0:
        return read(what, values)
    if depth == 1:
        return [read(what, value) for value in values]
    return [_each(read, what, part, depth - 1) for part in values]


def _integer(what: str, value: float) -> int:
    if type(value) is int:
        return value
    if not value.is_integer():
        raise InvalidInput(f"{what} has {value}, which is not an integer; send integers")
    if abs(value) >= EXACT:
        raise InvalidInput(f"{what} has {value}, which may be rounded; send it as an integer, without an exponent")
    return int(value)


def _bit(what: str, value: float) -> bool:
    if value not in (0, 1):
        raise InvalidInput(f"{what} has {value}, but a BOOL is true or false, or 1 or 0")
    return bool(value)
