"""One model served over the Open Inference Protocol: the code that REST and gRPC share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import TypeVar

from msgspec.structs import replace

from mlpatterns.context import Note
from mlpatterns.errors import InvalidInput, NotFound
from mlpatterns.metadata import ModelMetadata
from mlpatterns.oip.codec import DecodedRequest
from mlpatterns.oip.context import CONTEXT_HEADER, with_notes
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.exchange import Exchange
from mlpatterns.server.hosting import Hosted
from mlpatterns.tensors import batch_size

__all__ = ["OFFLOAD_RAW_BYTES", "OipModel", "find_model", "named_model", "takes_numbers"]

A = TypeVar("A")

NOTES_HEADER = CONTEXT_HEADER.encode()
# Larger raw tensors are handled in a thread. Raw tensors are only viewed or copied, and for a megabyte this takes less
# time than the switch to a thread.
OFFLOAD_RAW_BYTES = 4 * 1024 * 1024


class OipModel:
    """Turns a decoded request for one model into an answer, for REST and gRPC."""

    def __init__(self, model: Hosted, runtime: AppRuntime, buffers: Buffers) -> None:
        self.model, self.runtime, self.buffers = model, runtime, buffers

    async def respond(
        self,
        decoded: DecodedRequest,
        call: Exchange,
        began: float,
        version: str | None,
        write: Callable[[InferenceResponse], Awaitable[A]],
    ) -> A:
        """Gets the model's response, makes the answer from it with `write`, and counts and times the request.

        Args:
            began: when decoding began, in monotonic seconds.
            version: the version that was requested; None for any. The model may be replaced during the request, so the
                version is checked again if the response has another one.
            write: encodes the response.

        Raises:
            NotFound: the model no longer has the requested version.
        """
        statistics, asked = self.model.statistics, monotonic()
        counts = call.context.purpose == "request"
        try:
            response = await self.predict(decoded, call)
            if version is not None and response.model_version != version:
                self._check(version)
            answered = monotonic()
            if NOTES_HEADER in call.headers:
                response = self._with_notes(response, call.context.notes)
            answer = await write(response)
        except BaseException:
            if counts:
                statistics.failed(monotonic() - asked)
            raise
        if counts:
            statistics.answered(batch_size(decoded.inputs), began, asked, answered, monotonic())
        return answer

    async def predict(self, decoded: DecodedRequest, call: Exchange) -> InferenceResponse:
        parameters = decoded.parameters
        if "timeout" in parameters:
            parameters = dict(parameters)  # the timeout belongs to the call, not to the model's input
            _tighten(call, parameters.pop("timeout"))
        context = call.context
        context.where = self.model.path
        if decoded.id and "job_id" not in context.path:
            context.caller_id = decoded.id
        response = await self.model.predict(
            InferenceRequest(decoded.inputs, call.context, decoded.id, parameters, decoded.outputs, call.deadline)
        )
        if response.model_name != self.model.name:  # the model is served under another name than its own
            response = replace(response, model_name=self.model.name)
        return response

    def _with_notes(self, response: InferenceResponse, notes: Sequence[Note]) -> InferenceResponse:
        """Adds the notes to a response: all notes for other parts of the same system, public ones for other callers."""
        if self.runtime.settings.service is None:
            notes = [note for note in notes if note.public]
        return with_notes(response, notes, self.model.path)

    def _check(self, version: str) -> None:
        known = self.model.described().version
        if known != version:
            raise _no_version(self.model.name, version, known)


def find_model(models: Mapping[str, Hosted], name: str, version: str | None) -> Hosted:
    """The model with this name and, if given, this version. The name is only looked up, and never becomes a file path.

    Raises:
        NotFound: there is no such model or version.
        Unavailable: the model is not loaded, or not ready yet.
    """
    found = named_model(models, name)
    known = found.described().version
    if version is not None and version != known:
        raise _no_version(name, version, known)
    return found


def _no_version(name: str, version: str, known: str) -> NotFound:
    return NotFound(f"the model {name!r} has no version {version[:64]!r}; it has {known}")


def named_model(models: Mapping[str, Hosted], name: str) -> Hosted:
    """The model with this name, loaded or not.

    Raises:
        NotFound: there is no such model.
    """
    found = models.get(name)
    if found is None:
        raise NotFound(f"there is no model {name[:64]!r}; this server has {', '.join(models)}")
    return found


def takes_numbers(described: ModelMetadata) -> bool:
    """Whether the model's raw inputs are all numbers or booleans, which are read without a loop over the elements."""
    return all(spec.datatype != "BYTES" for spec in described.inputs)


def _tighten(call: Exchange, timeout: object) -> None:
    """Applies the parameter `timeout`. Triton's clients send it in microseconds, and 0 means no timeout."""
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise InvalidInput("the parameter timeout must be a whole number of microseconds")
    if timeout > 0:
        call.tighten(monotonic() + timeout / 1e6)
