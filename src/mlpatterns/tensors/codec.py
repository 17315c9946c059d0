"""Encodes requests, responses and descriptions of models for stores outside the process: msgpack with raw tensors.

A request's deadline is not encoded, because it belongs to the waiting caller. Notes and `described` are not encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.context import Context, Purpose
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec, datatype_of
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.user_errors import UserError

__all__ = ["DamagedData", "Unstorable", "decode_description", "decode_request", "decode_response", "encode_description",
           "encode_request", "encode_response"]  # fmt: skip

MOST_AXES = 32


class DamagedData(Exception):
    """The bytes are not a valid encoding: they were damaged, or something else was stored."""


class Unstorable(Exception):
    """A value cannot be encoded: objects that are not bytes, or parameters that are not plain values."""


class Tensor(Struct, array_like=True, frozen=True):
    """One tensor. `data` is raw, little-endian, in C order; for a BYTES tensor it is a list with one item for each
    element."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | list[bytes]


class Request(Struct, array_like=True, frozen=True):
    inputs: list[Tensor]
    parameters: dict[str, Any]
    outputs: tuple[str, ...]
    id: str | None
    prediction_id: str
    caller_id: str | None
    headers: dict[str, str]
    principal: str | None
    purpose: Purpose


class Response(Struct, array_like=True, frozen=True):
    outputs: list[Tensor]
    model_name: str
    model_version: str
    identity: str | None
    parameters: dict[str, Any]
    status: Literal["done", "accepted"]
    degraded: bool


class Description(Struct, array_like=True, frozen=True):
    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    primary_output: str
    labels: tuple[str, ...]
    sample: list[Tensor] | None
    max_batch_size: int | None
    threshold: float | None = None


_encoder = msgspec.msgpack.Encoder()
_requests, _responses = msgspec.msgpack.Decoder(Request), msgspec.msgpack.Decoder(Response)
_descriptions = msgspec.msgpack.Decoder(Description)

_UNSTORABLE = (UserError, TypeError, ValueError, OverflowError)
_DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError, RecursionError)


def encode_request(request: InferenceRequest) -> bytes:
    """The bytes of a request and of its caller's context.

    Raises:
        Unstorable: a value cannot be encoded.
    """
    context = request.context
    try:
        return _encoder.encode(
            Request(
                _packed(request.inputs), dict(request.parameters), request.outputs, request.id, context.prediction_id,
                context.caller_id, dict(context.headers), context.principal, context.purpose,
            )
        )  # fmt: skip
    except _UNSTORABLE as error:
        raise Unstorable(str(error)) from None


def decode_request(data: bytes) -> InferenceRequest:
    """The request that `encode_request` encoded, with read-only tensors.

    Raises:
        DamagedData: `data` is not such a request.
    """
    try:
        stored = _requests.decode(data)
        inputs = _unpacked(stored.inputs)
    except _DAMAGED as error:
        raise DamagedData from error
    context = Context(stored.prediction_id, stored.headers, stored.principal, stored.caller_id, stored.purpose)
    return InferenceRequest(inputs, context, stored.id, stored.parameters, stored.outputs)


def encode_response(response: InferenceResponse) -> bytes:
    """The bytes of a response.

    Raises:
        Unstorable: a value cannot be encoded.
    """
    try:
        return _encoder.encode(
            Response(
                _packed(response.outputs), response.model_name, response.model_version, response.identity,
                dict(response.parameters), response.status, response.degraded,
            )
        )  # fmt: skip
    except _UNSTORABLE as error:
        raise Unstorable(str(error)) from None


def decode_response(data: bytes) -> InferenceResponse:
    """The response that `encode_response` encoded, with read-only tensors.

    Raises:
        DamagedData: `data` is not such a response.
    """
    try:
        stored = _responses.decode(data)
        outputs = _unpacked(stored.outputs)
    except _DAMAGED as error:
        raise DamagedData from error
    return InferenceResponse(
        outputs,
        stored.model_name,
        stored.model_version,
        stored.identity,
        stored.parameters,
        stored.status,
        stored.degraded,
    )


def encode_description(metadata: ModelMetadata) -> bytes:
    """The bytes of a model's metadata.

    Raises:
        Unstorable: a value cannot be encoded.
    """
    sample = metadata.sample
    try:
        return _encoder.encode(
            Description(
                metadata.name, metadata.version, metadata.platform, metadata.inputs, metadata.outputs,
                metadata.primary_output, metadata.labels, None if sample is None else _packed(sample),
                metadata.max_batch_size, metadata.threshold,
            )
        )  # fmt: skip
    except _UNSTORABLE as error:
        raise Unstorable(str(error)) from None


def decode_description(data: bytes) -> ModelMetadata:
    """The metadata that `encode_description` encoded.

    Raises:
        DamagedData: `data` is not such a description.
    """
    try:
        stored = _descriptions.decode(data)
        sample = None if stored.sample is None else _unpacked(stored.sample)
    except _DAMAGED as error:
        raise DamagedData from error
    return ModelMetadata(
        stored.name, stored.version, stored.platform, stored.inputs, stored.outputs, stored.primary_output,
        stored.labels, sample, stored.max_batch_size, stored.threshold,
    )  # fmt: skip


# ---- tensors -----------------------------------------------------------------------------------------------------


def _packed(arrays: Mapping[str, Array]) -> list[Tensor]:
    return [_pack(name, value) for name, value in arrays.items()]


def _pack(name: str, value: Array) -> Tensor:
    datatype = datatype_of(value.dtype)
    if datatype == "BYTES":
        items = value.ravel().tolist()
        if not all(type(item) is bytes for item in items):
            raise TypeError("a tensor holds objects that are not bytes")
        return Tensor(name, datatype, value.shape, items)
    return Tensor(name, datatype, value.shape, value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())


def _unpacked(tensors: list[Tensor]) -> Mapping[str, Array]:
    return MappingProxyType({tensor.name: _unpack(tensor) for tensor in tensors})


def _unpack(tensor: Tensor) -> Array:
    if len(tensor.shape) > MOST_AXES or any(size < 0 for size in tensor.shape):
        raise ValueError
    if tensor.datatype == "BYTES":
        if not isinstance(tensor.data, list) or len(tensor.data) != prod(tensor.shape):
            raise ValueError
        value = np.empty(len(tensor.data), dtype=object)
        value[:] = tensor.data
    else:
        dtype = DTYPES[tensor.datatype].newbyteorder("<")
        if not isinstance(tensor.data, bytes) or len(tensor.data) != prod(tensor.shape) * dtype.itemsize:
            raise ValueError
        value = np.frombuffer(tensor.data, dtype).astype(DTYPES[tensor.datatype], copy=False)
    value = value.reshape(tensor.shape)
    value.setflags(write=False)
    return value
