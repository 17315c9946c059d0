"""One model as the Open Inference Protocol serves it, whichever way the bytes come."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import TypeVar

from msgspec.structs import replace

from mlpatterns.errors import InvalidInput, NotFound, NotStarted, Unavailable
from mlpatterns.oip.codec import DecodedRequest
from mlpatterns.predictor import InferenceRequest, InferenceResponse, ModelMetadata, Predictor, Runtime
from mlpatterns.server.exchange import Buffers, Exchange

__all__ = ["OFFLOAD_RAW_BYTES", "OipModel", "find_model", "takes_numbers"]

OFFLOAD_RAW_BYTES = 4 * 1024 * 1024  # raw tensors are views and copies: a megabyte takes less than a thread hop


class OipModel:
    """What REST and gRPC share: what the model is, and the way from a decoded request to its response."""

    def __init__(self, model: Predictor, runtime: Runtime, buffers: Buffers) -> None:
        self.model, self.runtime, self.buffers = model, runtime, buffers

    def described(self) -> ModelMetadata:
        """Its metadata.

        Raises:
            Unavailable: it has none yet.
        """
        try:
            return self.model.metadata
        except NotStarted:
            raise Unavailable(f"the model {self.model.name!r} is not ready yet", retry_after=1) from None

    async def predict(self, decoded: DecodedRequest, call: Exchange) -> InferenceResponse:
        parameters = decoded.parameters
        if "timeout" in parameters:
            parameters = dict(parameters)  # who asks in how much time is no part of what is asked
            _tighten(call, parameters.pop("timeout"))
        response = await self.model.predict(
            InferenceRequest(decoded.inputs, call.context, decoded.id, parameters, decoded.outputs, call.deadline)
        )
        if response.model_name != self.model.name:  # served under another name than its own
            response = replace(response, model_name=self.model.name)
        return response


M = TypeVar("M", bound=OipModel)


def find_model(models: Mapping[str, M], name: str, version: str | None) -> M:
    """The model of that name, and of that version if one is named: looked up, never made into a path.

    Raises:
        NotFound: there is none.
    """
    found = models.get(name)
    if found is None:
        raise NotFound(f"there is no model {name[:64]!r}; this server has {', '.join(models)}")
    known = found.described().version
    if version is not None and version != known:
        raise NotFound(f"the model {name!r} has no version {version[:64]!r}; it has {known}")
    return found


def takes_numbers(described: ModelMetadata) -> bool:
    """Whether its raw inputs can be read without a look at each element."""
    return all(spec.datatype != "BYTES" for spec in described.inputs)


def _tighten(call: Exchange, timeout: object) -> None:
    """The parameter `timeout`, in microseconds as Triton's clients send it; 0 is none."""
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise InvalidInput("the parameter timeout must be a whole number of microseconds")
    if timeout > 0:
        call.tighten(monotonic() + timeout / 1e6)
