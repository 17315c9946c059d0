"""Tensors as JSON: nested or flat lists in row-major order. A number that does not fit the datatype is refused."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from math import isfinite, prod
from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from mlpatterns.errors import InternalError, InvalidInput
from mlpatterns.metadata import Array
from mlpatterns.oip.raw_tensors import WIRE_DTYPES, bytes_tensor
from mlpatterns.oip.whole_numbers import whole_numbers
from mlpatterns.oip.wire import MALFORMED, sentence

__all__ = ["from_json", "to_json"]

SLACK = 64  # surplus elements that are still read, so that the error text can give the number of elements
FEW = 64  # up to this many elements, a sum in Python is faster than numpy
_FLOAT = re.compile(rb"[0-9][.eE]")
_BRACKETS = re.compile(rb"[ \t\r\n\[]*")


def _integer(bits: int, lowest: int) -> Any:
    return Annotated[int, Meta(ge=lowest, le=lowest + 2**bits - 1)]


# numpy checks the bounds of 64-bit integers, because bounds of the decoder may have at most 63 bits.
_JSON_TYPES: dict[str, Any] = {
    "BOOL": bool, "BYTES": str, "FP16": float, "FP32": float, "FP64": float,
    "INT8": _integer(8, -(2**7)), "INT16": _integer(16, -(2**15)), "INT32": _integer(32, -(2**31)), "INT64": int,
    "UINT8": _integer(8, 0), "UINT16": _integer(16, 0), "UINT32": _integer(32, 0), "UINT64": Annotated[int, Meta(ge=0)],
}  # fmt: skip
WRITTEN_AS_FLOATS = _JSON_TYPES.keys() - {"BYTES", "FP16", "FP32", "FP64"}


@lru_cache(maxsize=256)
def _decoder(datatype: str, depth: int, nullable: bool) -> msgspec.json.Decoder[Any]:
    kind = _JSON_TYPES[datatype]
    if nullable:
        kind = kind | None
    for _ in range(depth):
        kind = GenericAlias(list, (kind,))
    return msgspec.json.Decoder(kind)


def from_json(
    what: str, datatype: str, shape: tuple[int, ...], count: int, text: bytes, nullable: bool = False
) -> Array:
    """Reads a tensor of `count` elements from JSON `text`, which is nested as `shape` or flat.

    It counts the commas first, so that it never builds a list of numbers that is much too long. An integer or boolean
    may be written as a float. Integers are read exactly; floats are rounded to their datatype.

    Args:
        what: the tensor's name in error texts.
        nullable: whether null is allowed. It becomes NaN.

    Raises:
        InvalidInput: the data does not fit datatype and shape, or a number is out of the range of the datatype.
    """
    brackets = _BRACKETS.match(text)
    depth = brackets.group().count(b"[") if brackets else 0
    nested = shape[: shape.index(0) + 1] if 0 in shape else shape  # an empty list has no lists inside
    if depth not in (1, len(nested)):
        raise _nested_otherwise(what, shape, depth)
    if datatype != "BYTES" and text.count(b",") >= prod(size or 1 for size in shape) + SLACK:
        raise InvalidInput(f"{what}: data has more elements than its shape {list(shape)} says")
    values = _decoded(what, datatype, depth, text, nullable=nullable)
    if datatype == "BYTES":
        texts, found = _texts(what, values, depth)
        array = bytes_tensor([part.encode() for part in texts])
    else:
        array = _numbers(what, datatype, values, nullable)
        found = array.shape
    if found != ((count,) if depth == 1 else nested):
        raise _disagree(what, shape, found)
    return array.reshape(shape)


def _decoded(what: str, datatype: str, depth: int, text: bytes, *, nullable: bool) -> Any:
    decode = _decoder(datatype, depth, nullable).decode
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        if datatype not in WRITTEN_AS_FLOATS or not (datatype == "BOOL" or _FLOAT.search(text)):
            raise InvalidInput(f"{what}: {sentence(error, 'data', text)}") from None
    except MALFORMED as error:
        raise InvalidInput(f"{what}: {sentence(error, 'data', text)}") from None
    return whole_numbers(what, datatype, depth, text, decode)


def _numbers(what: str, datatype: str, values: list[Any], nullable: bool) -> Array:
    try:
        if datatype not in ("FP16", "FP32"):
            return np.array(values, dtype=WIRE_DTYPES[datatype])
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=WIRE_DTYPES[datatype])
    except OverflowError:
        raise InvalidInput(f"{what} has an integer that does not fit {datatype}") from None
    except ValueError:
        raise InvalidInput(f"{what}: data has lists of different lengths") from None
    if nullable:
        fits = not np.isinf(array).any()  # each NaN was a null, because JSON has no NaN
    else:
        fits = _finite(array, array.ravel().tolist() if array.size <= FEW else None)
    if not fits:
        raise InvalidInput(f"{what} has a number that does not fit {datatype}")
    return array


def _finite(array: Array, values: list[float] | None) -> bool:
    """Whether all elements are finite. A finite sum of `values` proves it, but an infinite sum may be an overflow."""
    return (values is not None and isfinite(sum(values))) or bool(np.isfinite(array).all())


def _texts(what: str, values: list[Any], depth: int) -> tuple[list[str], tuple[int, ...]]:
    """Flattens lists of strings that are nested `depth` deep. Returns the flat list and the shape of the nested one."""
    if depth == 0:
        return [values], ()  # type: ignore[list-item]  # `values` is one string, not a list
    found = [len(values)]
    for _ in range(depth - 1):
        sizes = set(map(len, values)) or {0}
        if len(sizes) > 1:
            raise InvalidInput(f"{what}: data has lists of different lengths")
        found += sizes
        values = list(chain.from_iterable(values))
    return values, tuple(found)


def _nested_otherwise(what: str, shape: tuple[int, ...], depth: int) -> InvalidInput:
    given = f"is nested {depth} deep" if depth else "is not a list"
    return InvalidInput(f"{what}: data {given}; it must be a flat list, or nested as its shape {list(shape)}")


def _disagree(what: str, shape: tuple[int, ...], found: tuple[int, ...]) -> InvalidInput:
    if len(found) == 1:
        return InvalidInput(f"{what}: its shape {list(shape)} has {prod(shape)} elements, but data has {found[0]}")
    return InvalidInput(f"{what}: data is nested as {list(found)}, but its shape is {list(shape)}")


def to_json(what: str, array: Array, datatype: str) -> list[Any]:
    """The elements of `array` as a flat list in row-major order.

    Raises:
        InvalidInput: an element has bytes that are not UTF-8, which JSON cannot express.
        InternalError: an element is NaN or infinite, which JSON cannot express; or an element of a BYTES tensor is
            neither bytes nor text.
    """
    values: list[Any] = array.ravel().tolist()
    if datatype == "BYTES":
        return [_text(what, value) for value in values]
    if array.dtype.kind == "f" and not _finite(array, values):
        raise InternalError(f"{what} holds NaN or infinity, which JSON cannot express; ask for binary output")
    return values


def _text(what: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        raise InternalError(f"{what} holds a {type(value).__name__} where bytes are expected")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{what} holds bytes that are not UTF-8, which JSON cannot express; ask for binary output"
        ) from None
