"""The elements of a tensor in JSON: their Python types, and their conversion to an array."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import DTYPES, Array
from mlpatterns.oip.raw_tensors import bytes_tensor

__all__ = ["array_of", "body_decoder", "element", "fits", "largest", "most_of", "nested", "texts_of", "whole"]

EXACT = 2**53  # float64 holds smaller whole numbers exactly; 2**53 + 1 is rounded to 2**53


def element(datatype: str, *, missing: bool = False, loose: bool = False) -> Any:
    """The Python type of one element. With `missing` it may be None, and with `loose` an integer may be sent as 3.0."""
    kind: Any = {"f": float, "b": bool, "O": str}.get(DTYPES[datatype].kind, int | float if loose else int)
    return kind | None if missing else kind


def nested(kind: Any, depth: int) -> Any:
    """The type of `depth` nested lists of `kind`."""
    for _ in range(depth):
        kind = GenericAlias(list, (kind,))
    return kind


def body_decoder(kind: Any) -> Callable[[bytes], Any]:
    """Makes the decoder of an object whose field `data` has the type `kind`. It also reads the field `columns`, which
    `to_dict("split")` of a DataFrame adds, so that callers can refuse such a body."""
    return msgspec.json.Decoder(msgspec.defstruct("Body", [("data", kind), ("columns", Any, None)])).decode


def whole(values: Any, where: str) -> Any:
    """Returns the nested lists with each float such as 3.0 converted to an integer.

    Args:
        where: the position of `values` in the body. The error text begins with it.

    Raises:
        InvalidInput: a number is not an integer, or is so large that it may have been rounded.
    """
    try:
        return _whole(values)
    except _NotWhole as error:
        text = f"{where}{error.path} must be an integer, not {error.value}"
        if error.value.is_integer():
            text = f"{where}{error.path} is {error.value}, which may be rounded; send it as an integer, without a point"
        raise InvalidInput(text) from None


class _NotWhole(Exception):
    def __init__(self, value: float) -> None:
        super().__init__(value)
        self.value, self.path = value, ""


def _whole(values: Any) -> Any:
    if isinstance(values, list):
        made: list[Any] = []
        try:
            for value in values:
                made.append(_whole(value))  # noqa: PERF401 - the length of `made` is the index of a wrong value
        except _NotWhole as error:
            error.path = f"[{len(made)}]{error.path}"
            raise
        return made
    if not isinstance(values, float):
        return values
    if values.is_integer() and abs(values) < EXACT:
        return int(values)
    raise _NotWhole(values)


def array_of(values: Any, datatype: str) -> Array:
    """The array of nested lists of numbers or booleans. In an array of floats, None becomes NaN.

    Raises:
        ValueError: lists on the same level differ in length.
        OverflowError: an element does not fit the datatype.
    """
    dtype = DTYPES[datatype]
    if dtype.kind != "f":
        return np.array(values, dtype=dtype)
    array = np.array(values, dtype=np.float64)
    if array.size and largest(array) > most_of(datatype):
        raise OverflowError
    return array.astype(dtype, copy=False)


def texts_of(values: Any, depth: int, image: str = "") -> Array:
    """The array of `depth` nested lists of strings. Each string is encoded as UTF-8.

    Args:
        image: if not empty, the strings are images in base64 and are decoded. Error texts use this noun for an image.

    Raises:
        ValueError: lists on the same level differ in length.
        InvalidInput: an image is not valid base64. If there are several images, the error text has the number of it.
    """
    shape = [len(values)]
    for _ in range(depth - 1):
        sizes = set(map(len, values)) or {0}
        if len(sizes) > 1:
            raise ValueError("ragged")
        shape += sizes
        values = [one for part in values for one in part]
    files = _files(values, image) if image else [value.encode() for value in values]
    return bytes_tensor(files).reshape(shape)


def _files(values: Sequence[str], noun: str) -> list[bytes]:
    files: list[bytes] = []
    try:
        for value in values:
            files.append(base64.b64decode(value, validate=True))  # noqa: PERF401 - its length gives the bad image
    except (binascii.Error, ValueError):
        which = f"the {noun}" if len(values) == 1 else f"{noun} {len(files) + 1} of {len(values)}"
        raise InvalidInput(f"{which} is not valid base64") from None
    return files


def largest(values: Array) -> float:
    """The largest absolute value in `values`, without the missing values (NaN)."""
    return float(max(np.fmax.reduce(values, axis=None), -np.fmin.reduce(values, axis=None)))


@lru_cache(maxsize=16)
def most_of(datatype: str) -> float:
    """The largest float64 that rounds to a finite number of this datatype. It may be slightly larger than the largest
    finite number, because clients may send that number as its shortest decimal, which may be larger too."""
    most = np.finfo(DTYPES[datatype]).max
    step = float(most) - float(np.nextafter(most, most.dtype.type(0)))
    return float(most) if datatype == "FP64" else float(np.nextafter(float(most) + step / 2, 0))


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether `shape` matches `wanted`, in which -1 means any size."""
    return len(shape) == len(wanted) and all(w in (-1, n) for w, n in zip(wanted, shape, strict=True))
