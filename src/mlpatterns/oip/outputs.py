"""The outputs that a request names and the outputs of an answer. REST and gRPC share these rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlpatterns.context import NOTHING
from mlpatterns.errors import InternalError, InvalidInput, TooLarge
from mlpatterns.metadata import Array, ModelMetadata, datatype_of
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.wire import OutputHead
from mlpatterns.predictor import InferenceResponse
from mlpatterns.redaction import quoted
from mlpatterns.user_errors import UserError

__all__ = ["boolean_parameter", "named_output", "requested_outputs", "response_parameters", "sent_outputs"]

_ABSENT_EXTENSIONS = ("classification", "shared_memory_region")


def requested_outputs(
    heads: Sequence[OutputHead], metadata: ModelMetadata, limits: RequestLimits
) -> dict[str, bool | None]:
    """The names of the outputs that the client wants, in order.

    Returns:
        for each name whether the client wants it as raw bytes; None if the request does not specify it.

    Raises:
        TooLarge: there are more than `limits` allow.
        InvalidInput: an output does not exist, is named twice, or requests an extension that this server lacks.
    """
    most = limits.outputs_of(metadata)
    if len(heads) > most:
        raise TooLarge(f"the request asks for more than {most} outputs")
    known = [spec.name for spec in metadata.outputs]
    requested: dict[str, bool | None] = {}
    for head in heads:
        what = f"output {quoted(head.name)}"
        if head.name not in known:
            raise InvalidInput(f"there is no {what}; the model gives {', '.join(known)}")
        if head.name in requested:
            raise InvalidInput(f"the request names {what} twice")
        parameters = head.parameters or NOTHING
        for extension in _ABSENT_EXTENSIONS:
            if parameters.get(extension):  # `classification: 0` requests no classes
                raise InvalidInput(f"{what} asks for {extension}, which this server does not offer")
        requested[head.name] = boolean_parameter(parameters, "binary_data", what)
    return requested


def sent_outputs(response: InferenceResponse, requested: Sequence[str]) -> Iterable[str]:
    """The names of the outputs to send: the requested ones, or all if none is requested or the request is not done."""
    return requested if requested and response.status == "done" else response.outputs


def named_output(response: InferenceResponse, name: str) -> tuple[Array, str]:
    """One output and its datatype.

    Raises:
        InternalError: the model did not return it, or the protocol has no datatype for it.
    """
    array = response.outputs.get(name)
    if array is None:
        raise InternalError(f"the model gave no output {quoted(name)}")
    try:
        return array, datatype_of(array.dtype)
    except UserError:
        raise InternalError(f"output {quoted(name)} has no datatype of the Open Inference Protocol") from None


def response_parameters(response: InferenceResponse) -> Mapping[str, Any]:
    """The parameters of an answer. They include identity, status and degradation for clients of mlpatterns."""
    if response.identity is None and response.status == "done" and not response.degraded:
        return response.parameters
    parameters = dict(response.parameters)
    if response.identity is not None:
        parameters["identity"] = response.identity
    if response.status != "done":
        parameters["status"] = response.status
    if response.degraded:
        parameters["degraded"] = True
    return parameters


def boolean_parameter(parameters: Mapping[str, Any], name: str, what: str) -> bool | None:
    """The value of the parameter `name`; None if it is absent.

    Raises:
        InvalidInput: the value is neither true nor false.
    """
    flag = parameters.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise InvalidInput(f"{what}: the parameter {name} must be true or false")
    return flag
