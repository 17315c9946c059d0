"""Tensors as JSON: nested or flat lists, row-major, every number exact or refused."""

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
from mlpatterns.oip.raw_tensors import LITTLE, objects
from mlpatterns.oip.wire import MALFORMED, sentence

__all__ = ["from_json", "to_json"]

FEW = 64  # elements below which a sum in Python is faster than numpy
_BRACKETS = re.compile(rb"[ \t\r\n\[]*")


def _integer(bits: int, lowest: int) -> Any:
    return Annotated[int, Meta(ge=lowest, le=lowest + 2**bits - 1)]


# numpy checks the upper bounds of the widest: the decoder's own bounds end at 63 bits
_JSON_TYPES: dict[str, Any] = {
    "BOOL": bool, "BYTES": str, "FP16": float, "FP32": float, "FP64": float,
    "INT8": _integer(8, -(2**7)), "INT16": _integer(16, -(2**15)), "INT32": _integer(32, -(2**31)), "INT64": int,
    "UINT8": _integer(8, 0), "UINT16": _integer(16, 0), "UINT32": _integer(32, 0), "UINT64": Annotated[int, Meta(ge=0)],
}  # fmt: skip


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
    """The tensor of `count` elements in `text`, nested as `shape` or flat.

    Elements are counted by their commas first, so that a list too long is never built.

    Args:
        nullable: null is accepted, and becomes NaN.

    Raises:
        InvalidInput: the data does not agree with datatype and shape; nothing is wrapped or rounded to fit.
    """
    brackets = _BRACKETS.match(text)
    depth = brackets.group().count(b"[") if brackets else 0
    nested = shape[: shape.index(0) + 1] if 0 in shape else shape  # nothing can be nested in an empty list
    if depth not in (1, len(nested)):
        raise InvalidInput(f"{what}: data must be a flat list, or nested as its shape {list(shape)}")
    if datatype != "BYTES" and text.count(b",") >= prod(size or 1 for size in shape):
        raise _disagree(what, shape)
    try:
        values = _decoder(datatype, depth, nullable).decode(text)
    except MALFORMED as error:
        raise InvalidInput(f"{what}: {sentence(error, 'data')}") from None
    if datatype == "BYTES":
        return _texts(what, values, nested if depth > 1 else (count,)).reshape(shape)
    array = _numbers(what, datatype, values, nullable)
    if array.shape != (nested if depth > 1 else (count,)):
        raise _disagree(what, shape)
    return array.reshape(shape)


def _numbers(what: str, datatype: str, values: list[Any], nullable: bool) -> Array:
    try:
        if datatype not in ("FP16", "FP32"):
            return np.array(values, dtype=LITTLE[datatype])
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=LITTLE[datatype])
    except OverflowError:
        raise InvalidInput(f"{what} has an integer that does not fit {datatype}") from None
    except ValueError:
        raise InvalidInput(f"{what}: data has lists of different lengths") from None
    if nullable:
        fits = not np.isinf(array).any()  # JSON has no word for NaN, so that each there is stands for a null
    else:
        fits = _finite(array, array.ravel().tolist() if array.size <= FEW else None)
    if not fits:
        raise InvalidInput(f"{what} has a number that does not fit {datatype}")
    return array


def _finite(array: Array, values: list[float] | None) -> bool:
    """Whether no element is NaN or infinite; the sum of its `values` tells, unless it overflows itself."""
    return (values is not None and isfinite(sum(values))) or bool(np.isfinite(array).all())


def _texts(what: str, values: list[Any], shape: tuple[int, ...]) -> Array:
    """Strings of lists nested as `shape`, flat and in UTF-8."""
    if len(values) != shape[0]:
        raise _disagree(what, shape)
    for size in shape[1:]:
        if any(len(part) != size for part in values):
            raise _disagree(what, shape)
        values = list(chain.from_iterable(values))
    return objects([text.encode() for text in values])


def _disagree(what: str, shape: tuple[int, ...]) -> InvalidInput:
    return InvalidInput(f"{what}: data does not have the number of elements that its shape {list(shape)} says")


def to_json(what: str, array: Array, datatype: str) -> list[Any]:
    """The elements of `array`, flat and row-major.

    Raises:
        InvalidInput: bytes are not UTF-8, for which JSON has no word.
        InternalError: a number is NaN or infinite, for which it has none either; or an element of a BYTES tensor is
            neither bytes nor text.
    """
    values: list[Any] = array.ravel().tolist()
    if datatype == "BYTES":
        return [_text(what, value) for value in values]
    if array.dtype.kind == "f" and not _finite(array, values):
        raise InternalError(f"{what} holds NaN or infinity, which JSON cannot say; ask for binary output")
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
            f"{what} holds bytes that are not UTF-8, which JSON cannot say; ask for binary output"
        ) from None
