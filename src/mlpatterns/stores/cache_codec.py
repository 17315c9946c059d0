"""Cache entries as bytes, for stores outside the process: msgpack with the tensors raw, bound to their key by a digest.

    MAGIC, 16 bytes of BLAKE2b over key and body, body

The digest finds damage that would else be a wrong number, and a value that lies under another's key. It is no
signature: whoever may write to a store may forge answers.
"""

from __future__ import annotations

from hashlib import blake2b
from math import prod
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.datatypes import DTYPES, datatype_of
from mlpatterns.errors import UserError
from mlpatterns.metadata import Array
from mlpatterns.predictor import InferenceResponse
from mlpatterns.stores.cache import CacheEntry

__all__ = ["Damaged", "Unstorable", "decode_entry", "encode_entry"]

MAGIC = b"mlpc1"  # change it with the form of what follows: old values are then no entries
DIGEST = 16
MOST_AXES = 32


class Damaged(Exception):
    """The bytes are no entry of this key."""


class Unstorable(Exception):
    """An entry holds what has no form here: objects that are no bytes, or parameters that are no plain values."""


class Tensor(Struct, array_like=True, frozen=True):
    """`data` is raw, little-endian, in C order; of a BYTES tensor one item an element."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | list[bytes]


class Body(Struct, array_like=True, frozen=True):
    fresh_until: float
    model_name: str
    model_version: str
    identity: str | None
    parameters: dict[str, Any]
    tensors: list[Tensor]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Body).decode


def encode_entry(key: str, entry: CacheEntry) -> bytes:
    """The bytes of an answer that is done and not degraded.

    Raises:
        Unstorable: it has no form here.
    """
    response = entry.response
    try:
        tensors = [_packed(name, value) for name, value in response.outputs.items()]
        body = _encode(
            Body(
                entry.fresh_until,
                response.model_name,
                response.model_version,
                response.identity,
                dict(response.parameters),
                tensors,
            )
        )
    except (UserError, TypeError, ValueError, OverflowError) as error:
        raise Unstorable(str(error)) from None
    return MAGIC + _digest(key, body) + body


def decode_entry(key: str, value: bytes) -> CacheEntry:
    """What `encode_entry` was given, with tensors that cannot be written to.

    Raises:
        Damaged: `value` is anything else.
    """
    head = len(MAGIC) + DIGEST
    body = value[head:]
    if value[:head] != MAGIC + _digest(key, body):
        raise Damaged
    try:
        said = _decode(body)
        outputs = {tensor.name: _unpacked(tensor) for tensor in said.tensors}
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError, RecursionError) as error:
        raise Damaged from error
    response = InferenceResponse(
        MappingProxyType(outputs), said.model_name, said.model_version, said.identity, said.parameters
    )
    return CacheEntry(response, said.fresh_until)


def _digest(key: str, body: bytes) -> bytes:
    state = blake2b(key.encode(), digest_size=DIGEST, person=b"mlp entry")
    state.update(b"\0")  # no key has one
    state.update(body)
    return state.digest()


def _packed(name: str, value: Array) -> Tensor:
    datatype = datatype_of(value.dtype)
    if datatype == "BYTES":
        items = value.ravel().tolist()
        if not all(type(item) is bytes for item in items):
            raise TypeError("a tensor holds objects that are no bytes")
        return Tensor(name, datatype, value.shape, items)
    return Tensor(name, datatype, value.shape, value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())


def _unpacked(tensor: Tensor) -> Array:
    if len(tensor.shape) > MOST_AXES or any(size < 0 for size in tensor.shape):
        raise ValueError
    if tensor.datatype == "BYTES":
        if not isinstance(tensor.data, list) or len(tensor.data) != prod(tensor.shape):
            raise ValueError
        value = np.empty(len(tensor.data), dtype=object)
        value[:] = tensor.data
        value = value.reshape(tensor.shape)
        value.flags.writeable = False
        return value
    dtype = DTYPES[tensor.datatype].newbyteorder("<")
    if not isinstance(tensor.data, bytes) or len(tensor.data) != prod(tensor.shape) * dtype.itemsize:
        raise ValueError
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape).astype(DTYPES[tensor.datatype], copy=False)
