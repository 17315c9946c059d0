"""Requests, responses and descriptions of models as bytes, for stores outside the process: msgpack, the tensors raw.

A request's deadline is not written: it belongs to the caller who waits. Neither are notes, nor `described`.
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

__all__ = ["Damaged", "Unstorable", "decode_description", "decode_request", "decode_response", "encode_description",
           "encode_request", "encode_response"]  # fmt: skip

MOST_AXES = 32


class Damaged(Exception):
    """The bytes are not what was written."""


class Unstorable(Exception):
    """Something has no form here: objects that are no bytes, or parameters that are no plain values."""


class Tensor(Struct, array_like=True, frozen=True):
    """`data` is raw, little-endian, in C order; of a BYTES tensor one item an element."""

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
    """The bytes of what is asked, and of who asks.

    Raises:
        Unstorable: it has no form here.
    """
    who = request.context
    try:
        return _encoder.encode(
            Request(
                _packed(request.inputs), dict(request.parameters), request.outputs, request.id, who.prediction_id,
                who.caller_id, dict(who.headers), who.principal, who.purpose,
            )
        )  # fmt: skip
    except _UNSTORABLE as error:
        raise Unstorable(str(error)) from None


def decode_request(data: bytes) -> InferenceRequest:
    """What `encode_request` was given, with tensors that cannot be written to.

    Raises:
        Damaged: `data` is anything else.
    """
    try:
        said = _requests.decode(data)
        inputs = _unpacked(said.inputs)
    except _DAMAGED as error:
        raise Damaged from error
    who = Context(said.prediction_id, said.headers, said.principal, said.caller_id, said.purpose)
    return InferenceRequest(inputs, who, said.id, said.parameters, said.outputs)


def encode_response(response: InferenceResponse) -> bytes:
    """The bytes of an answer.

    Raises:
        Unstorable: it has no form here.
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
    """What `encode_response` was given, with tensors that cannot be written to.

    Raises:
        Damaged: `data` is anything else.
    """
    try:
        said = _responses.decode(data)
        outputs = _unpacked(said.outputs)
    except _DAMAGED as error:
        raise Damaged from error
    return InferenceResponse(
        outputs, said.model_name, said.model_version, said.identity, said.parameters, said.status, said.degraded
    )


def encode_description(metadata: ModelMetadata) -> bytes:
    """The bytes of what a model says of itself.

    Raises:
        Unstorable: it has no form here.
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
    """What `encode_description` was given.

    Raises:
        Damaged: `data` is anything else.
    """
    try:
        said = _descriptions.decode(data)
        sample = None if said.sample is None else _unpacked(said.sample)
    except _DAMAGED as error:
        raise Damaged from error
    return ModelMetadata(
        said.name, said.version, said.platform, said.inputs, said.outputs, said.primary_output, said.labels, sample,
        said.max_batch_size, said.threshold,
    )  # fmt: skip


# ---- tensors -----------------------------------------------------------------------------------------------------


def _packed(arrays: Mapping[str, Array]) -> list[Tensor]:
    return [_pack(name, value) for name, value in arrays.items()]


def _pack(name: str, value: Array) -> Tensor:
    datatype = datatype_of(value.dtype)
    if datatype == "BYTES":
        items = value.ravel().tolist()
        if not all(type(item) is bytes for item in items):
            raise TypeError("a tensor holds objects that are no bytes")
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
