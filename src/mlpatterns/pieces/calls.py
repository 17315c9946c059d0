"""How a piece calls its parts: with a shorter deadline, concurrently, for their health; and errors that name a part."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import NoneType
from typing import Any, Literal, Protocol

from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, InternalError, NotStarted, PredictionError, Unavailable
from mlpatterns.interfaces import Clock
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor
from mlpatterns.user_code import is_cancellation, text_for_client, user_exc_info

__all__ = [
    "NOT_READY_RETRY", "Answering", "PartCall", "PartHealth", "all_ended", "answer_of", "answers_later", "ask_all",
    "ask_within", "error_within", "health_all",
]  # fmt: skip

log = logging.getLogger("mlpatterns")

NOT_READY_RETRY = 1.0  # seconds after which a caller may try a part again that was not ready


def error_within(part: str, error: BaseException, what: str = "stage") -> PredictionError:
    """The error that the caller gets for an `error` of `part`: it names the part and hides internals."""
    if isinstance(error, PredictionError):
        return error.within(part)
    if isinstance(error, NotStarted):
        return Unavailable(f"this {what} is not ready yet", retry_after=NOT_READY_RETRY, stages=(part,))
    log.error("%s %r failed", what, part, exc_info=user_exc_info(error))
    return InternalError(text_for_client(error, f"this {what} failed"), stages=(part,), logged=True)


def answers_later(part: str, what: str = "stage") -> PredictionError:
    """The error for a `part` that answered with a job id although its result is needed now."""
    return InternalError(
        f"this {what} answers later, so its answer cannot be used now; queue the whole instead", stages=(part,)
    )


def answer_of(name: str, answer: InferenceResponse, part: Predictor, context: Context) -> InferenceResponse:
    """The answer of the chosen `part` as the answer of the piece `name`; `described` has the metadata of the part."""
    return InferenceResponse(
        answer.outputs,
        name,
        answer.model_version,
        answer.identity,
        answer.parameters,
        answer.status,
        answer.degraded,
        answer.described or part.describe(context),
    )


async def all_ended(tasks: Collection[asyncio.Task[Any]]) -> bool:
    """Waits until all tasks have ended; True if the caller was cancelled meanwhile, which `cancelling()` shows too."""
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


class Answering(Protocol):
    """The target of a call: a predictor, or an object that calls one."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse: ...


PartCall = tuple[str, Answering, InferenceRequest]


async def ask_all(
    calls: Sequence[PartCall], *, fail_fast: bool
) -> tuple[dict[str, InferenceResponse], dict[str, PredictionError]]:
    """Calls every part in its own task and its own step of the context.

    It returns, or raises CancelledError, only when all tasks have ended. `asyncio.TaskGroup` is unsuitable: it cannot
    distinguish a part that raises CancelledError from a part that was cancelled, and it lets SystemExit leave the event
    loop.

    Args:
        calls: the name of each part, the part, and its request.
        fail_fast: whether the first error cancels the other parts; a part that has not started by then never starts.

    Returns:
        The answers by part, and the errors by part in the order in which they occurred.
    """
    answers: dict[str, InferenceResponse] = {}
    errors: dict[str, PredictionError] = {}

    async def ask(name: str, part: Answering, request: InferenceRequest) -> None:
        try:
            with request.context.step(name) as inside:
                answers[name] = await part.predict(request.within(inside))
        except BaseException as error:
            failed: BaseException = error
            if is_cancellation(error):
                raise
            if isinstance(error, asyncio.CancelledError):
                failed = InternalError("this part cancelled itself")
            errors[name] = error_within(name, failed, "part")
            errors[name].__cause__ = failed
            if fail_fast:
                cancel_all()

    def cancel_all() -> None:
        for task in tasks:
            task.cancel()

    tasks = [asyncio.create_task(ask(*call)) for call in calls]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        if not (fail_fast and errors):  # after fail_fast, a second cancel would interrupt their clean-up
            cancel_all()
        await all_ended(tasks)
        raise
    return answers, errors


async def ask_within(
    ask: Callable[[InferenceRequest], Awaitable[InferenceResponse]],
    request: InferenceRequest,
    seconds: float | None,
    clock: Clock,
) -> InferenceResponse:
    """Calls `ask` with a deadline `seconds` from now, unless the request has an earlier one.

    Raises:
        DeadlineExceeded: the call took longer; its work has ended.
        PredictionError: the error of `ask`.
    """
    if seconds is None:
        return await ask(request)
    deadline = clock.monotonic() + seconds
    if request.deadline is not None and request.deadline <= deadline:
        return await ask(request)
    asked = InferenceRequest(request.inputs, request.context, request.id, request.parameters, request.outputs, deadline)
    try:
        async with asyncio.timeout(seconds) as scope:
            return await ask(asked)
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceeded(f"the model did not answer within {seconds:g} s") from None


class PartHealth(Struct, frozen=True):
    """``ok`` if the part, and all that it needs in other processes, can answer now; otherwise ``ng``."""

    health: Literal["ok", "ng"]


def health_all(parts: Mapping[str, Predictor]) -> Operation:
    """The query `health/all`, which gives the health of each of `parts` by name."""

    async def health(_: None, caller: Caller) -> dict[str, PartHealth]:
        """The health of each part: `ok` if it could answer now, `ng` if not."""
        healths = await asyncio.gather(*[part.check() for part in parts.values()])
        return {name: PartHealth("ok" if each.ready else "ng") for name, each in zip(parts, healths, strict=True)}

    return Operation("health/all", "query", "public", NoneType, dict[str, PartHealth], health)
