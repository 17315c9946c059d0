"""Inference requests and answers of the Open Inference Protocol over REST, as a server reads and writes them.

Pure functions on bytes. A body is JSON, then the raw tensors of the binary extension; `json_length` is where the
JSON ends, from the header Inference-Header-Content-Length, or None where there is none. `client_codec` is the
other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.context import NOTHING
from mlpatterns.errors import InternalError, InvalidInput, TooLarge, UserError
from mlpatterns.metadata import Array, ModelMetadata, datatype_of
from mlpatterns.oip.json_tensors import to_json
from mlpatterns.oip.limits import Limits
from mlpatterns.oip.raw_tensors import to_bytes
from mlpatterns.oip.tensors import SIZE, read_tensors
from mlpatterns.oip.wire import OutputHead, RequestHead, parse
from mlpatterns.predictor import InferenceResponse
from mlpatterns.redaction import quoted

__all__ = [
    "HEADER", "BinaryChoice", "DecodedRequest", "asked_outputs", "check_count",
    "decode_request", "encode_response", "join", "names_sent", "output_of", "parse_json_length", "said_of", "split",
]  # fmt: skip

HEADER = "Inference-Header-Content-Length"
ALIGNMENT = 16  # bytes: raw tensors start at a multiple, so that a reader need not copy them
_ABSENT_EXTENSIONS = ("classification", "shared_memory_region")
_decoder = msgspec.json.Decoder(RequestHead)


class BinaryChoice(Struct, frozen=True):
    """Which outputs are wanted as raw bytes: `named` ones as they say, the others by `default`."""

    default: bool = False
    named: Mapping[str, bool] = NOTHING

    def wants(self, output: str) -> bool:
        return self.named.get(output, self.default)


class DecodedRequest(Struct, frozen=True):
    """What a client asked; `outputs` empty means all of them, `parameters` are without those of the transport."""

    inputs: Mapping[str, Array]
    id: str | None = None
    parameters: Mapping[str, Any] = NOTHING
    outputs: tuple[str, ...] = ()
    binary: BinaryChoice = BinaryChoice()


def decode_request(body: bytes, json_length: int | None, metadata: ModelMetadata, limits: Limits) -> DecodedRequest:
    """Reads the body of an infer call.

    Returns:
        the request, its arrays in the datatypes and shapes of `metadata`; raw tensors are read-only views of `body`.

    Raises:
        InvalidInput: anything is not as the protocol or the model wants it; the sentence names the tensor.
        TooLarge: there are more inputs, outputs or elements than `limits` allow.
    """
    head = _head(body, json_length, limits)
    check_count(head.inputs, metadata, limits)
    inputs = read_tensors("input", head.inputs, body, json_length, limits, metadata)
    parameters = head.parameters or NOTHING
    default = _flag(parameters, "binary_data_output", "the request")
    if "binary_data_output" in parameters:
        parameters = {name: value for name, value in parameters.items() if name != "binary_data_output"}
    if not head.outputs:
        return DecodedRequest(inputs, head.id, parameters, (), BinaryChoice(bool(default)))
    asked = asked_outputs(head.outputs, metadata, limits)
    named = {name: flag for name, flag in asked.items() if flag is not None}
    return DecodedRequest(inputs, head.id, parameters, tuple(asked), BinaryChoice(bool(default), named))


def _head(body: bytes, json_length: int | None, limits: Limits) -> RequestHead:
    text = split(body, json_length)
    if not text and body:
        raise InvalidInput(f"the header {HEADER} says that there is no JSON, which must name the raw tensors")
    try:
        return parse(_decoder, text, "the request", limits.max_nesting)
    except InvalidInput as error:
        raise InvalidInput(f"{error}{_about_length(str(error), text, json_length)}") from None


def _about_length(error: str, text: bytes, json_length: int | None) -> str:
    """What more there is to say of a body that is not JSON where it should be: the header may be what is wrong."""
    cut = "ends too early" in error or "trailing characters" in error
    if json_length is not None and cut:
        return f"; the header {HEADER} says that the JSON has {json_length} bytes"
    if json_length is None and ("trailing characters" in error or ("not JSON" in error and text[:1] not in b"{[")):
        return f"; where raw tensors follow the JSON, the header {HEADER} must say how long the JSON is"
    return ""


def encode_response(
    response: InferenceResponse,
    id: str | None = None,
    binary: BinaryChoice = BinaryChoice(),  # noqa: B008  # it is frozen
    outputs: Sequence[str] = (),
) -> tuple[bytes, int | None]:
    """Writes the answer to an infer call: its body, and the length of the JSON in it or None if that is all.

    Args:
        id: what the client called its request; it comes back.
        outputs: those to send, in this order; all of them if empty, or if the request was only accepted.

    Raises:
        InvalidInput: JSON has no word for bytes that are not UTF-8.
        InternalError: it has none for NaN and infinity either; or the model did not give an output that was asked for,
            or not one that can be sent.
    """
    heads: list[dict[str, Any]] = []
    raw: list[bytes | memoryview] = []
    for name in names_sent(response, outputs):
        array, datatype = output_of(response, name)
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
    parameters = said_of(response)
    if parameters:
        head["parameters"] = parameters
    head["outputs"] = heads
    return join(head, raw)


def parse_json_length(header: bytes | None) -> int | None:
    """The value of Inference-Header-Content-Length, None if the header is absent.

    Raises:
        InvalidInput: it is not a whole number.
    """
    if header is None:
        return None
    if not header.isdigit() or len(header) > 18:
        raise InvalidInput(f"the header {HEADER} must be a whole number of bytes")
    return int(header)


def split(body: bytes, json_length: int | None) -> bytes:
    """The JSON of a body.

    Raises:
        InvalidInput: the body is shorter than `json_length`.
    """
    if json_length is None:
        return body
    if not 0 <= json_length <= len(body):
        raise InvalidInput(f"the header {HEADER} says {json_length}, but the body has {len(body)} bytes")
    return body[:json_length]


def join(head: Mapping[str, Any], raw: Sequence[bytes | memoryview]) -> tuple[bytes, int | None]:
    """A body of JSON and raw tensors, and the length of the JSON, which is padded with spaces so that they align."""
    text = msgspec.json.encode(head)
    if not raw:
        return text, None
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join((text, *raw)), len(text)


def check_count(inputs: Sized, metadata: ModelMetadata, limits: Limits) -> None:
    most = limits.inputs_of(metadata)
    if len(inputs) > most:
        raise TooLarge(f"the request has more than {most} inputs")


def asked_outputs(heads: Sequence[OutputHead], metadata: ModelMetadata, limits: Limits) -> dict[str, bool | None]:
    """The outputs that are asked for, in order, each with its own wish for raw bytes if it has one.

    Raises:
        TooLarge: there are too many.
        InvalidInput: one does not exist, is asked for twice, or in a way that is not offered.
    """
    most = limits.outputs_of(metadata)
    if len(heads) > most:
        raise TooLarge(f"the request asks for more than {most} outputs")
    known = [spec.name for spec in metadata.outputs]
    asked: dict[str, bool | None] = {}
    for head in heads:
        what = f"output {quoted(head.name)}"
        if head.name not in known:
            raise InvalidInput(f"there is no {what}; the model gives {', '.join(known)}")
        if head.name in asked:
            raise InvalidInput(f"{what} is asked for twice")
        parameters = head.parameters or NOTHING
        for extension in _ABSENT_EXTENSIONS:
            if parameters.get(extension):  # of 0 classes, none are asked for
                raise InvalidInput(f"{what} asks for {extension}, which this server does not offer")
        asked[head.name] = _flag(parameters, "binary_data", what)
    return asked


def names_sent(response: InferenceResponse, asked: Sequence[str]) -> Iterable[str]:
    """The outputs that go out: those asked for, but of a job that was only accepted its id."""
    return asked if asked and response.status == "done" else response.outputs


def output_of(response: InferenceResponse, name: str) -> tuple[Array, str]:
    """One output and its datatype.

    Raises:
        InternalError: the model did not give it, or the protocol has no name for what it holds.
    """
    array = response.outputs.get(name)
    if array is None:
        raise InternalError(f"the model gave no output {quoted(name)}")
    try:
        return array, datatype_of(array.dtype)
    except UserError:
        raise InternalError(f"output {quoted(name)} has no datatype of the Open Inference Protocol") from None


def _flag(parameters: Mapping[str, Any], name: str, what: str) -> bool | None:
    flag = parameters.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise InvalidInput(f"{what}: the parameter {name} must be true or false")
    return flag


def said_of(response: InferenceResponse) -> Mapping[str, Any]:
    """The parameters of an answer, with what another mlpatterns server wants to know of it."""
    if response.identity is None and response.status == "done" and not response.degraded:
        return response.parameters
    said = dict(response.parameters)
    if response.identity is not None:
        said["identity"] = response.identity
    if response.status != "done":
        said["status"] = response.status
    if response.degraded:
        said["degraded"] = True
    return said
