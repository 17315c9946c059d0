"""Hand-written messages of the Open Inference Protocol over gRPC, so that requests do not depend on the code of any
measured server.

In Protobuf's wire format, a field is its number and type, then a length, then bytes; numbers have seven bits per byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlpatterns.metadata import Array

__all__ = ["INFER", "answer", "raw_outputs", "request"]

INFER = "/inference.GRPCInferenceService/ModelInfer"
NAME, VERSION, INPUTS, WANTED, RAW_INPUTS = 1, 2, 5, 6, 7
OUTPUTS, RAW_OUTPUTS = 5, 6


def request(model: str, tensor: str, array: Array, output: str) -> bytes:
    """A ModelInferRequest for one FP32 tensor, as raw bytes, that asks for one output."""
    return (
        _field(NAME, model.encode())
        + _field(INPUTS, _tensor(tensor, array.shape))
        + _field(WANTED, _field(1, output.encode()))
        + _field(RAW_INPUTS, array.astype("<f4").tobytes())
    )


def answer(model: str, tensor: str, array: Array) -> bytes:
    """A ModelInferResponse with one FP32 tensor."""
    return (
        _field(NAME, model.encode())
        + _field(VERSION, b"1")
        + _field(OUTPUTS, _tensor(tensor, array.shape))
        + _field(RAW_OUTPUTS, array.astype("<f4").tobytes())
    )


def raw_outputs(message: bytes) -> list[Array]:
    """The FP32 tensors of a ModelInferResponse, flat."""
    return [np.frombuffer(value, "<f4") for number, value in _fields(message) if number == RAW_OUTPUTS]


def _tensor(name: str, shape: Sequence[int]) -> bytes:
    return _field(1, name.encode()) + _field(2, b"FP32") + _field(3, b"".join(_varint(size) for size in shape))


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of bytes; a model's answer has no others at its top."""
    at = 0
    while at < len(message):
        tag, at = _read(message, at)
        size, at = _read(message, at)
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _read(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
