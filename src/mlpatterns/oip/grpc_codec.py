"""Inference requests and answers of the Open Inference Protocol over gRPC, as a server reads and writes them.

Pure functions on messages, with the rules and the sentences of `codec`; `grpc_client_codec` is the other side. What is
read may be raw or typed, what is written is always raw.
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
from mlpatterns.oip.codec import (
    BinaryChoice,
    DecodedRequest,
    asked_outputs,
    check_count,
    names_sent,
    output_of,
    said_of,
)
from mlpatterns.oip.grpc_messages import CHOICE, InferParameter, ModelInferResponse
from mlpatterns.oip.limits import Limits
from mlpatterns.oip.raw_tensors import LITTLE, from_bytes, objects, to_bytes
from mlpatterns.oip.tensors import absent, check_heads
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
_STEP = 64 * 1024  # elements that become an array at a time: between them other threads have their turn
RAW_OUTPUTS, RAW_INPUTS = b"\x32", b"\x3a"  # the wire's tags of raw_output_contents (6) and raw_input_contents (7)


def decode_request(message: Any, metadata: ModelMetadata, limits: Limits) -> DecodedRequest:
    """Reads a ModelInferRequest.

    Returns:
        the request, its arrays in the datatypes and shapes of `metadata`; raw tensors are read-only.

    Raises:
        InvalidInput: anything is not as the protocol or the model wants it; the sentence names the tensor.
        TooLarge: there are more inputs, outputs or elements than `limits` allow.
    """
    check_count(message.inputs, metadata, limits)
    inputs = read_tensors("input", message.inputs, message.raw_input_contents, limits, metadata)
    parameters = read_parameters(message.parameters, "the request") if message.parameters else NOTHING
    outputs: tuple[str, ...] = ()
    if message.outputs:
        outputs = tuple(asked_outputs(_heads(message.outputs, limits.outputs_of(metadata)), metadata, limits))
    return DecodedRequest(inputs, message.id or None, parameters, outputs, BinaryChoice(True))


def _heads(outputs: Sequence[Any], most: int) -> list[OutputHead]:
    few = outputs[: most + 1]  # one too many is enough to refuse them
    return [OutputHead(o.name, dict(read_parameters(o.parameters, f"output {quoted(o.name)}"))) for o in few]


def encode_response(response: InferenceResponse, id: str | None = None, outputs: Sequence[str] = ()) -> bytes:
    """Writes a ModelInferResponse.

    Args:
        id: what the client called its request; it comes back.
        outputs: those to send, in this order; all of them if empty, or if the request was only accepted.

    Raises:
        InternalError: the model did not give an output that was asked for, or not one that can be sent.
    """
    tensors: list[tuple[str, str, tuple[int, ...]]] = []
    raw: list[bytes | memoryview] = []
    for name in names_sent(response, outputs):
        array, datatype = output_of(response, name)
        tensors.append((name, datatype, array.shape))
        raw.append(to_bytes(f"output {quoted(name)}", array, datatype))
    head = _head(response.model_name, response.model_version, response.identity, tuple(tensors))
    if id is not None or response.parameters or response.degraded or response.status != "done":
        more = ModelInferResponse(id=id or "")
        write_parameters(more.parameters, said_of(response))
        head += more.SerializeToString()  # one message after the other reads as one of both
    return with_raw(head, RAW_OUTPUTS, raw)


@lru_cache(maxsize=256)  # the answers to requests of one size begin alike
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
    """The bytes of a message and, after them, of a repeated field of bytes: large tensors are copied only here."""
    parts: list[bytes | memoryview] = [head]
    for content in raw:
        parts += (tag, _varint(len(content)), content)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth bit set."""
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
    kind: str, tensors: Sequence[Any], raw: Sequence[bytes], limits: Limits, metadata: ModelMetadata | None = None
) -> dict[str, Array]:
    """The arrays of `tensors` by name, which nobody can write to.

    Args:
        kind: what a sentence calls them: input or output.
        raw: their contents in order, or none at all: then each has its own, typed.
        metadata: of the model that takes them, or None to take what comes.

    Raises:
        InvalidInput: a tensor is not what it says, or not what the model takes.
        TooLarge: a tensor has more elements than `limits` allow.
    """
    if raw and len(raw) != len(tensors):
        raise InvalidInput(f"there are {len(tensors)} {kind}s, but {len(raw)} raw contents")
    # A message's own list of sizes is slow to look at.
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
        raise absent(what, tensor.parameters, "typed nor raw contents")
    if len(values) != count:
        raise InvalidInput(f"{what} has {len(values)} elements, but its shape {head.shape} needs {count}")
    if datatype == "BYTES":
        return objects(list(values)).reshape(head.shape)
    array: Array = np.empty(count, _WIDE.get(_CONTENTS[datatype], LITTLE[datatype]))
    for start in range(0, count, _STEP):
        array[start : start + _STEP] = values[start : start + _STEP]
    if array.dtype != LITTLE[datatype]:
        bounds = np.iinfo(LITTLE[datatype])
        if count and not bounds.min <= array.min() <= array.max() <= bounds.max:
            raise InvalidInput(f"{what} has an integer that does not fit {datatype}")
        array = array.astype(LITTLE[datatype])
    return array.reshape(head.shape)


def _values(what: str, tensor: Any) -> Sequence[Any]:
    """The typed contents of `tensor`, from the one field where its datatype belongs."""
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(f"{what} is {tensor.datatype}, which travels as raw contents only")
    for descriptor, _ in tensor.contents.ListFields():
        if descriptor.name != field:
            raise InvalidInput(f"{what} has {descriptor.name}, but {tensor.datatype} travels as {field}")
    values: Sequence[Any] = getattr(tensor.contents, field)
    return values


# ---- parameters --------------------------------------------------------------------------------------------------


def read_parameters(parameters: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A map of InferParameter as a dictionary.

    Raises:
        InvalidInput: one has no value.
    """
    found = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof(CHOICE)
        if choice is None:
            raise InvalidInput(f"{what}: the parameter {quoted(name)} has no value")
        found[name] = getattr(parameter, choice)
    return found


def write_parameters(into: Any, parameters: Mapping[str, Any]) -> None:
    """The reverse; what is neither truth, number nor text goes as JSON text, None not at all."""
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
