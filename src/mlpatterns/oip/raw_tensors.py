"""Tensors as raw little-endian bytes: the binary tensor extension of the Open Inference Protocol."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpatterns.errors import InternalError, InvalidInput
from mlpatterns.metadata import DTYPES, Array

__all__ = ["WIRE_DTYPES", "bytes_tensor", "from_bytes", "to_bytes"]

WIRE_DTYPES: dict[str, np.dtype[Any]] = {name: dtype.newbyteorder("<") for name, dtype in DTYPES.items()}
"""The dtype of each datatype in raw bytes."""

_LENGTH = struct.Struct("<I")
_FORM = "each begins with its length in 4 bytes, little-endian"


def from_bytes(what: str, datatype: str, shape: list[int], count: int, body: bytes, start: int, size: int) -> Array:
    """Reads a tensor of `count` elements from `size` bytes of `body` that begin at `start`.

    Returns:
        a read-only view of `body` if its address is aligned, else a copy. A BYTES tensor is always a copy.

    Raises:
        InvalidInput: the bytes do not fit datatype and shape.
    """
    if datatype == "BYTES":
        return _strings(what, count, body[start : start + size]).reshape(shape)
    dtype = WIRE_DTYPES[datatype]
    if size != count * dtype.itemsize:
        raise InvalidInput(f"{what} has {size} bytes, but its shape and datatype need {count * dtype.itemsize}")
    if count == 0:
        return np.empty(shape, dtype)
    if datatype == "BOOL" and np.frombuffer(body, np.uint8, count, start).max() > 1:
        raise InvalidInput(f"{what} has a byte that is not a BOOL; each must be 0 or 1")
    array = np.frombuffer(body, dtype, count, start).reshape(shape)
    return array if array.flags.aligned else array.copy()  # model runtimes may need aligned addresses


def _strings(what: str, count: int, raw: bytes) -> Array:
    """Reads the elements of a BYTES tensor. Each is its length as an unsigned 32-bit integer, followed by its bytes."""
    if 4 * count > len(raw):
        raise InvalidInput(f"{what} has too few bytes for its {count} elements; {_FORM}")
    found: list[bytes] = []
    position = 0
    for _ in range(count):
        start = position + 4
        if start > len(raw):
            raise InvalidInput(f"{what} ends within an element; {_FORM}")
        position = start + _LENGTH.unpack_from(raw, position)[0]
        if position > len(raw):
            raise InvalidInput(f"{what} has an element that is longer than the rest of the tensor; {_FORM}")
        found.append(raw[start:position])
    if position != len(raw):
        raise InvalidInput(f"{what} has {len(raw) - position} bytes left over after its last element")
    return bytes_tensor(found)


def bytes_tensor(values: Sequence[bytes | str]) -> Array:
    """A flat BYTES tensor of `values`."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def to_bytes(what: str, array: Array, datatype: str) -> bytes | memoryview:
    """The raw bytes of `array`: a view if its memory already has this layout, else a copy.

    Raises:
        InternalError: an element of a BYTES tensor is neither bytes nor text.
    """
    if datatype != "BYTES":
        return np.asarray(array, WIRE_DTYPES[datatype], order="C").reshape(-1).view(np.uint8).data
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        text = element.encode() if isinstance(element, str) else element
        if not isinstance(text, bytes):
            raise InternalError(f"{what} holds a {type(element).__name__} where bytes are expected")
        parts += (_LENGTH.pack(len(text)), text)
    return b"".join(parts)
