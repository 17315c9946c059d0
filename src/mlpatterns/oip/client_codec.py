"""REST, client side: writes the inference requests of the Open Inference Protocol, and reads their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.context import NOTHING
from mlpatterns.errors import InternalError, InvalidInput, PredictionError
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.oip.codec import join, split
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.raw_tensors import to_bytes
from mlpatterns.oip.tensors import SIZE, read_tensors
from mlpatterns.oip.wire import ResponseHead, parse
from mlpatterns.redaction import quoted
from mlpatterns.tensors import validate

__all__ = ["LIMITS", "DecodedResponse", "decode_response", "encode_request", "raw_inputs"]

LIMITS = RequestLimits(max_inputs=4096, max_outputs=4096)
_decoder = msgspec.json.Decoder(ResponseHead)


class DecodedResponse(Struct, frozen=True):
    """An answer of a server, decoded."""

    outputs: Mapping[str, Array]
    model_name: str
    model_version: str = ""
    id: str | None = None
    parameters: Mapping[str, Any] = NOTHING


def encode_request(
    inputs: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    id: str | None = None,
    parameters: Mapping[str, Any] = NOTHING,
    outputs: Sequence[str] = (),
) -> tuple[bytes, int]:
    """Writes the body of an inference request. It sends all tensors raw, and requests all outputs raw.

    Args:
        outputs: the names of the outputs to request; empty means all.

    Returns:
        the body, and the length of its JSON in bytes.

    Raises:
        InvalidInput: `inputs` do not fit `specs`, or `parameters` cannot be written as JSON.
    """
    heads: list[dict[str, Any]] = []
    raw: list[bytes | memoryview] = []
    for spec, shape, content in raw_inputs(inputs, specs):
        raw.append(content)
        size = {SIZE: len(content)}
        heads.append({"name": spec.name, "datatype": spec.datatype, "shape": shape, "parameters": size})
    head: dict[str, Any] = {"parameters": {**parameters, "binary_data_output": True}, "inputs": heads}
    if id is not None:
        head["id"] = id
    if outputs:
        head["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    try:
        body, json_length = join(head, raw)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the parameters cannot be written as JSON: {error}") from None
    return body, len(body) if json_length is None else json_length


def raw_inputs(
    inputs: Mapping[str, Array], specs: Sequence[TensorSpec]
) -> Iterator[tuple[TensorSpec, tuple[int, ...], bytes | memoryview]]:
    """Yields the spec, the shape and the raw bytes of each input.

    Raises:
        InvalidInput: `inputs` do not fit `specs`.
    """
    validate(inputs, specs)
    for spec in specs:
        array = inputs[spec.name]
        yield spec, array.shape, to_bytes(f"input {quoted(spec.name)}", array, spec.datatype)


def decode_response(body: bytes, json_length: int | None, limits: RequestLimits = LIMITS) -> DecodedResponse:
    """Reads the answer to an inference request.

    Raises:
        InternalError: the answer is malformed.
    """
    try:
        head = parse(_decoder, split(body, json_length), "it", limits.max_nesting)
        outputs = read_tensors("output", head.outputs, body, json_length, limits)
    except PredictionError as error:
        raise InternalError(f"the answer of the remote model is malformed: {error.message}") from None
    return DecodedResponse(outputs, head.model_name, head.model_version or "", head.id, head.parameters or NOTHING)
