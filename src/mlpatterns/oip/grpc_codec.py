"""gRPC, server side: reads the inference requests of the Open Inference Protocol, and writes their answers.

The rules and the error texts are those of `codec`, and no function does any I/O. The tensors of a request may have raw
or typed contents; those of an answer are always raw. `grpc_client_codec` is the client side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from mlpatterns.context import NOTHING
from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.oip.codec import BinaryOutputs, DecodedRequest, check_input_count
from mlpatterns.oip.grpc_messages import CHOICE, InferParameter, ModelInferResponse
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.outputs import named_output, requested_outputs, response_parameters, sent_outputs
from mlpatterns.oip.raw_tensors import WIRE_DTYPES, bytes_tensor, from_bytes, to_bytes
from mlpatterns.oip.tensors import check_heads, no_data
from mlpatterns.oip.wire import OutputHead, TensorHead
from mlpatterns.predictor import InferenceResponse
from mlpatterns.redaction import quoted

__all__ = [
    "decode_request", "encode_response", "read_parameters", "read_tensors", "with_raw", "write_parameters",
]  # fmt: skip

_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
_WIDE = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}
_STEP = 64 * 1024  # elements that are converted at a time, so that other threads get the GIL in between
RAW_OUTPUTS, RAW_INPUTS = b"\x32", b"\x3a"  # the wire tags of raw_output_contents (6) and raw_input_contents (7)


def decode_request(message: Any, metadata: ModelMetadata, limits: RequestLimits) -> DecodedRequest:
    """Reads a ModelInferRequest.

    Returns:
        the request. Its arrays have the datatypes and shapes of `metadata`, and are read-only.

    Raises:
        InvalidInput: the message does not conform to the protocol or the model's metadata. If a tensor is wrong, the
            error text names it.
        TooLarge: there are more inputs, outputs or elements than `limits` allow.
    """
    check_input_count(message.inputs, metadata, limits)
    inputs = read_tensors("input", message.inputs, message.raw_input_contents, limits, metadata)
    parameters = read_parameters(message.parameters, "the request") if message.parameters else NOTHING
    outputs: tuple[str, ...] = ()
    if message.outputs:
        outputs = tuple(requested_outputs(_heads(message.outputs, limits.outputs_of(metadata)), metadata, limits))
    return DecodedRequest(inputs, message.id or None, parameters, outputs, BinaryOutputs(True))


def _heads(outputs: Sequence[Any], most: int) -> list[OutputHead]:
    few = outputs[: most + 1]  # one too many is enough to refuse the request
    return [OutputHead(o.name, dict(read_parameters(o.parameters, f"output {quoted(o.name)}"))) for o in few]


def encode_response(response: InferenceResponse, id: str | None = None, outputs: Sequence[str] = ()) -> bytes:
    """Writes a ModelInferResponse.

    Args:
        id: the client's name for the request, which the answer repeats.
        outputs: the names of the outputs to send, in this order; empty means all. If the request was accepted as a job
            and is not done yet, all outputs of the response are sent.

    Raises:
        InternalError: the model did not return an output that the client wants; the protocol has no datatype for an
            output; or a BYTES output has an element that is neither bytes nor text.
    """
    tensors: list[tuple[str, str, tuple[int, ...]]] = []
    raw: list[bytes | memoryview] = []
    for name in sent_outputs(response, outputs):
        array, datatype = named_output(response, name)
        tensors.append((name, datatype, array.shape))
        raw.append(to_bytes(f"output {quoted(name)}", array, datatype))
    head = _head(response.model_name, response.model_version, response.identity, tuple(tensors))
    if id is not None or response.parameters or response.degraded or response.status != "done":
        more = ModelInferResponse(id=id or "")
        write_parameters(more.parameters, response_parameters(response))
        head += more.SerializeToString()  # protobuf reads two concatenated messages as one with the fields of both
    return with_raw(head, RAW_OUTPUTS, raw)


@lru_cache(maxsize=256)  # answers with the same model and shapes begin with the same bytes
def _head(
    model: str, version: str, identity: str | None, tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
) -> bytes:
    message = ModelInferResponse(model_name=model, model_version=version)
    if identity is not None:
        write_parameters(message.parameters, {"identity": identity})
    for name, datatype, shape in tensors:
        message.outputs.add(name=name, datatype=datatype, shape=shape)
    head: bytes = message.SerializeToString()
    return head


def with_raw(head: bytes, tag: bytes, raw: Sequence[bytes | memoryview]) -> bytes:
    """Appends a repeated field of bytes to the bytes of a message. This is the only copy of large tensors."""
    parts: list[bytes | memoryview] = [head]
    for content in raw:
        parts += (tag, _varint(len(content)), content)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """Encodes protobuf's variable-length integer: seven bits per byte, lowest bits first. The eighth bit is set in all
    bytes but the last."""
    if number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


# ---- tensors -----------------------------------------------------------------------------------------------------


def read_tensors(
    kind: str,
    tensors: Sequence[Any],
    raw: Sequence[bytes],
    limits: RequestLimits,
    metadata: ModelMetadata | None = None,
) -> dict[str, Array]:
    """The arrays of `tensors` by name. They are read-only.

    Args:
        kind: the word for the tensors in error texts, ``input`` or ``output``.
        raw: the raw contents of all tensors, in order. If it is empty, each tensor has typed contents.
        metadata: the model's metadata; None accepts tensors of any name, datatype and shape.

    Raises:
        InvalidInput: a tensor's contents do not fit its shape and datatype, or the tensor does not fit `metadata`.
        TooLarge: a tensor has more elements than `limits` allow.
    """
    if raw and len(raw) != len(tensors):
        raise InvalidInput(f"the message has {len(tensors)} {kind}s, but {len(raw)} raw contents; send one for each")
    # `list`, because protobuf's own sequences are slow to read, and the shapes are read several times.
    heads = [TensorHead(tensor.name, list(tensor.shape), tensor.datatype) for tensor in tensors]
    found = check_heads(kind, heads, limits, metadata)
    arrays: dict[str, Array] = {}
    for index, (tensor, head, (what, count)) in enumerate(zip(tensors, heads, found, strict=True)):
        if not raw:
            array = _typed(what, head, tensor, count)
        elif tensor.HasField("contents") and tensor.contents.ListFields():
            raise InvalidInput(f"{what} has both raw and typed contents; send one of them")
        else:
            array = from_bytes(what, head.datatype, head.shape, count, raw[index], 0, len(raw[index]))
        array.setflags(write=False)
        arrays[head.name] = array
    return arrays


def _typed(what: str, head: TensorHead, tensor: Any, count: int) -> Array:
    values, datatype = _values(what, tensor), head.datatype
    if count and not values:
        raise no_data(what, tensor.parameters, "typed nor raw contents")
    if len(values) != count:
        raise InvalidInput(f"{what} has {len(values)} elements, but its shape {head.shape} needs {count}")
    if datatype == "BYTES":
        return bytes_tensor(list(values)).reshape(head.shape)
    array: Array = np.empty(count, _WIDE.get(_CONTENTS[datatype], WIRE_DTYPES[datatype]))
    for start in range(0, count, _STEP):
        array[start : start + _STEP] = values[start : start + _STEP]
    if array.dtype != WIRE_DTYPES[datatype]:
        bounds = np.iinfo(WIRE_DTYPES[datatype])
        if count and not bounds.min <= array.min() <= array.max() <= bounds.max:
            raise InvalidInput(f"{what} has an integer that does not fit {datatype}")
        array = array.astype(WIRE_DTYPES[datatype])
    return array.reshape(head.shape)


def _values(what: str, tensor: Any) -> Sequence[Any]:
    """The typed contents of `tensor`, from the field that the protocol defines for its datatype."""
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(f"{what} is {tensor.datatype}, which has no typed contents; send raw contents")
    for descriptor, _ in tensor.contents.ListFields():
        if descriptor.name != field:
            raise InvalidInput(f"{what} has {descriptor.name}, but {tensor.datatype} must be sent as {field}")
    values: Sequence[Any] = getattr(tensor.contents, field)
    return values


# ---- parameters --------------------------------------------------------------------------------------------------


def read_parameters(parameters: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A map of InferParameter as a dictionary.

    Args:
        what: the owner of the parameters in error texts.

    Raises:
        InvalidInput: a parameter has no value.
    """
    found = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof(CHOICE)
        if choice is None:
            raise InvalidInput(f"{what}: the parameter {quoted(name)} has no value")
        found[name] = getattr(parameter, choice)
    return found


def write_parameters(into: Any, parameters: Mapping[str, Any]) -> None:
    """Writes `parameters` into a map of InferParameter. It omits a value of None. A value that is not a boolean, a
    number or a string becomes JSON text.

    Raises:
        TypeError, ValueError: a value cannot be written as JSON, or a string is not valid Unicode.
    """
    for name, value in parameters.items():
        if value is not None:
            into[name].CopyFrom(_parameter(value))


def _parameter(value: Any) -> Any:
    match value:
        case bool():
            return InferParameter(bool_param=value)
        case int() if -(2**63) <= value < 2**63:
            return InferParameter(int64_param=value)
        case int() if 0 <= value < 2**64:
            return InferParameter(uint64_param=value)
        case float():
            return InferParameter(double_param=value)
        case str():
            return InferParameter(string_param=value)
    return InferParameter(string_param=msgspec.json.encode(value).decode())
