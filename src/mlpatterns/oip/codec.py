"""REST, server side: reads the inference requests of the Open Inference Protocol, and writes their answers.

No function does any I/O. A body is JSON, followed by the raw tensors of the binary extension. `json_length` is the
length of the JSON in bytes, from the header Inference-Header-Content-Length. Without this header it is None, and the
body is JSON only. `client_codec` is the client side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.context import NOTHING
from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.oip.json_tensors import to_json
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.outputs import (
    boolean_parameter,
    named_output,
    requested_outputs,
    response_parameters,
    sent_outputs,
)
from mlpatterns.oip.raw_tensors import to_bytes
from mlpatterns.oip.tensors import SIZE, read_tensors
from mlpatterns.oip.wire import RequestHead, parse
from mlpatterns.predictor import InferenceResponse
from mlpatterns.redaction import quoted

__all__ = [
    "JSON_LENGTH_HEADER", "BinaryOutputs", "DecodedRequest", "check_input_count", "decode_request", "encode_response",
    "join", "parse_json_length", "split",
]  # fmt: skip

JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
ALIGNMENT = 16  # bytes; raw tensors start at a multiple of it, so that a reader can use them without a copy
_decoder = msgspec.json.Decoder(RequestHead)


class BinaryOutputs(Struct, frozen=True):
    """Whether the client wants each output as raw bytes: `named` has the outputs with their own flag, and `default`
    applies to all others."""

    default: bool = False
    named: Mapping[str, bool] = NOTHING

    def wants(self, output: str) -> bool:
        return self.named.get(output, self.default)


class DecodedRequest(Struct, frozen=True):
    """A request, decoded.

    Attributes:
        id: the client's own name for the request.
        parameters: the parameters of the request, except those about its encoding.
        outputs: the names of the outputs that the client wants; empty means all.
        binary: which of them it wants as raw bytes.
    """

    inputs: Mapping[str, Array]
    id: str | None = None
    parameters: Mapping[str, Any] = NOTHING
    outputs: tuple[str, ...] = ()
    binary: BinaryOutputs = BinaryOutputs()


def decode_request(
    body: bytes, json_length: int | None, metadata: ModelMetadata, limits: RequestLimits
) -> DecodedRequest:
    """Reads the body of an inference request.

    Returns:
        the request. Its arrays have the datatypes and shapes of `metadata`; raw tensors are read-only views of `body`.

    Raises:
        InvalidInput: the body does not conform to the protocol or the model's metadata. If a tensor is wrong, the error
            text names it.
        TooLarge: there are more inputs, outputs or elements than `limits` allow.
    """
    head = _head(body, json_length, limits)
    check_input_count(head.inputs, metadata, limits)
    inputs = read_tensors("input", head.inputs, body, json_length, limits, metadata)
    parameters = head.parameters or NOTHING
    default = boolean_parameter(parameters, "binary_data_output", "the request")
    if "binary_data_output" in parameters:
        parameters = {name: value for name, value in parameters.items() if name != "binary_data_output"}
    if not head.outputs:
        return DecodedRequest(inputs, head.id, parameters, (), BinaryOutputs(bool(default)))
    requested = requested_outputs(head.outputs, metadata, limits)
    named = {name: flag for name, flag in requested.items() if flag is not None}
    return DecodedRequest(inputs, head.id, parameters, tuple(requested), BinaryOutputs(bool(default), named))


def _head(body: bytes, json_length: int | None, limits: RequestLimits) -> RequestHead:
    text = split(body, json_length)
    if not text and body:
        raise InvalidInput(
            f"the header {JSON_LENGTH_HEADER} is 0, but the body must begin with JSON that names its tensors"
        )
    try:
        return parse(_decoder, text, "the request", limits.max_nesting)
    except InvalidInput as error:
        raise InvalidInput(f"{error}{_length_hint(str(error), text, json_length)}") from None


def _length_hint(error: str, text: bytes, json_length: int | None) -> str:
    """A hint for the error of a body that is not JSON, if the header with the JSON's length may be wrong or missing."""
    cut = "ends too early" in error or "trailing characters" in error
    if json_length is not None and cut:
        return f"; the header {JSON_LENGTH_HEADER} says that the JSON has {json_length} bytes"
    if json_length is None and ("trailing characters" in error or ("not JSON" in error and text[:1] not in b"{[")):
        return f"; where raw tensors follow the JSON, the header {JSON_LENGTH_HEADER} must say how long the JSON is"
    return ""


def encode_response(
    response: InferenceResponse,
    id: str | None = None,
    binary: BinaryOutputs = BinaryOutputs(),  # noqa: B008  # it is frozen
    outputs: Sequence[str] = (),
) -> tuple[bytes, int | None]:
    """Writes the answer to an inference request.

    Args:
        id: the client's name for the request, which the answer repeats.
        outputs: the names of the outputs to send, in this order; empty means all. If the request was accepted as a job
            and is not done yet, all outputs of the response are sent.

    Returns:
        the body, and the length of its JSON in bytes; None if the body is JSON only.

    Raises:
        InvalidInput: an output that is sent as JSON has bytes that are not UTF-8.
        InternalError: the model did not return an output that the client wants; the protocol has no datatype for an
            output; an output that is sent as JSON has NaN or infinity; or a BYTES output has an element that is
            neither bytes nor text.
    """
    heads: list[dict[str, Any]] = []
    raw: list[bytes | memoryview] = []
    for name in sent_outputs(response, outputs):
        array, datatype = named_output(response, name)
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": array.shape}
        if binary.wants(name):
            raw.append(to_bytes(f"output {quoted(name)}", array, datatype))
            tensor["parameters"] = {SIZE: len(raw[-1])}
        else:
            tensor["data"] = to_json(f"output {quoted(name)}", array, datatype)
        heads.append(tensor)
    head: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if id is not None:
        head["id"] = id
    parameters = response_parameters(response)
    if parameters:
        head["parameters"] = parameters
    head["outputs"] = heads
    return join(head, raw)


def parse_json_length(header: bytes | None) -> int | None:
    """The value of the header Inference-Header-Content-Length; None if the header is absent.

    Raises:
        InvalidInput: the value is not a whole number of at most 18 digits.
    """
    if header is None:
        return None
    if not header.isdigit() or len(header) > 18:
        raise InvalidInput(f"the header {JSON_LENGTH_HEADER} must be a whole number of bytes")
    return int(header)


def split(body: bytes, json_length: int | None) -> bytes:
    """The JSON of a body, without the raw tensors that follow it.

    Raises:
        InvalidInput: the body is shorter than `json_length`.
    """
    if json_length is None:
        return body
    if not 0 <= json_length <= len(body):
        raise InvalidInput(f"the header {JSON_LENGTH_HEADER} is {json_length}, but the body has only {len(body)} bytes")
    return body[:json_length]


def join(head: Mapping[str, Any], raw: Sequence[bytes | memoryview]) -> tuple[bytes, int | None]:
    """Writes a body of JSON and raw tensors. Returns it with the length of its JSON; None without raw tensors.

    Spaces after the JSON, which count as part of it, make the tensors start at a multiple of `ALIGNMENT`.
    """
    text = msgspec.json.encode(head)
    if not raw:
        return text, None
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join((text, *raw)), len(text)


def check_input_count(inputs: Sized, metadata: ModelMetadata, limits: RequestLimits) -> None:
    """Checks the number of inputs of a request.

    Raises:
        TooLarge: there are more than `limits` allow.
    """
    most = limits.inputs_of(metadata)
    if len(inputs) > most:
        raise TooLarge(f"the request has more than {most} inputs")
