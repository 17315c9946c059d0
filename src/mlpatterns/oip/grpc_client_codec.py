"""gRPC, client side: writes the inference requests of the Open Inference Protocol, and reads their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlpatterns.context import NOTHING
from mlpatterns.errors import InternalError, InvalidInput, PredictionError
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.oip.client_codec import LIMITS, DecodedResponse, raw_inputs
from mlpatterns.oip.grpc_codec import RAW_INPUTS, read_parameters, read_tensors, with_raw, write_parameters
from mlpatterns.oip.grpc_messages import DecodeError, ModelInferRequest, ModelInferResponse

__all__ = ["decode_response", "encode_request"]


def encode_request(
    model: str,
    inputs: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    id: str | None = None,
    parameters: Mapping[str, Any] = NOTHING,
    outputs: Sequence[str] = (),
) -> bytes:
    """Writes a ModelInferRequest. It sends all tensors raw, and parameters that are lists or mappings as JSON text.

    Raises:
        InvalidInput: `inputs` do not fit `specs`, or `parameters` cannot be written as JSON.
    """
    message = ModelInferRequest(model_name=model, id=id or "")
    raw: list[bytes | memoryview] = []
    for spec, shape, content in raw_inputs(inputs, specs):
        message.inputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
        raw.append(content)
    for name in outputs:
        message.outputs.add(name=name)
    try:
        write_parameters(message.parameters, parameters)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the parameters cannot be sent: {error}") from None
    return with_raw(message.SerializeToString(), RAW_INPUTS, raw)


def decode_response(body: bytes) -> DecodedResponse:
    """Reads a ModelInferResponse.

    Raises:
        InternalError: the answer is malformed.
    """
    try:
        message = ModelInferResponse.FromString(body)
        outputs = read_tensors("output", message.outputs, message.raw_output_contents, LIMITS)
        parameters = read_parameters(message.parameters, "it")
    except DecodeError:
        raise InternalError("the answer of the remote model is malformed: it is not a ModelInferResponse") from None
    except PredictionError as error:
        raise InternalError(f"the answer of the remote model is malformed: {error.message}") from None
    return DecodedResponse(outputs, message.model_name, message.model_version, message.id or None, parameters)
