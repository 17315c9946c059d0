"""One attempt of a job: calls the model, and turns the answer or the error into the next state of the job."""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from mlpatterns.errors import DeadlineExceeded, ErrorCode, InternalError, NotStarted, PredictionError, Unavailable
from mlpatterns.interfaces import Clock
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.programs.job_options import JobOptions
from mlpatterns.stores.jobs import Claim, Finish
from mlpatterns.tensors import DamagedData, Unstorable, decode_request, encode_response, validate
from mlpatterns.user_code import await_user_code, text_for_client, user_exc_info

__all__ = ["attempt"]

log = logging.getLogger("mlpatterns")

NOT_READY_RETRY = 1.0  # seconds


async def attempt(claim: Claim, model: Predictor, options: JobOptions, clock: Clock) -> Finish:
    """Calls `model` within the time limits of the attempt and of the job; every error becomes a Finish.

    Raises:
        CancelledError: the task was cancelled.
    """
    try:
        request = decode_request(claim.request)
    except DamagedData:
        return options.after(claim, ErrorCode.UNSUPPORTED, "the job was queued by another version of this server")
    try:
        response = await _asked(model, request, min(options.max_run, claim.seconds_left), clock)
        return options.done(claim, _stored(response))
    except PredictionError as error:
        return options.after(claim, error.code, str(error), error.retry_after)
    except Exception as error:
        log.error("the model failed the job %s", claim.id, exc_info=user_exc_info(error))
        return options.after(claim, ErrorCode.INTERNAL, text_for_client(error, "the model failed"))


async def _asked(model: Predictor, request: InferenceRequest, seconds: float, clock: Clock) -> InferenceResponse:
    limit = asyncio.timeout(seconds)
    try:
        described = model.metadata
        validate(request.inputs, described.inputs, described.max_batch_size)
        async with limit:
            return await await_user_code(model.predict(replace(request, deadline=clock.monotonic() + seconds)))
    except TimeoutError:
        if not limit.expired():
            raise  # the model itself raised it
        raise DeadlineExceeded("the job was not finished within its time") from None
    except NotStarted:
        raise Unavailable("the model is not ready yet", retry_after=NOT_READY_RETRY) from None


def _stored(response: InferenceResponse) -> bytes:
    if response.status != "done":
        raise InternalError("the model answers later; put the JobQueue around one that answers")
    try:
        return encode_response(response)
    except Unstorable:
        raise InternalError("the model's answer cannot be stored") from None
