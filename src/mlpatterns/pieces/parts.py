"""What pieces with several parts have in common: asking them at once, whose error it was, what the whole is made of."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from mlpatterns.context import Context
from mlpatterns.errors import CompositionError, InternalError, NotStarted, PredictionError, Unavailable
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.user_code import is_cancellation, of_its_own, told

__all__ = [
    "NOT_READY_RETRY",
    "Answering",
    "Question",
    "alike",
    "all_ended",
    "answer_of",
    "answers_later",
    "ask_all",
    "combined_identity",
    "error_within",
    "require_same_inputs",
    "smallest_batch",
]

log = logging.getLogger("mlpatterns")

NOT_READY_RETRY = 1.0  # seconds after which a part that has not answered yet may have


def error_within(part: str, error: BaseException, what: str = "stage") -> PredictionError:
    """The error a caller gets for `error` of `part`: with the part's name, and without what is internal."""
    if isinstance(error, PredictionError):
        return error.within(part)
    if isinstance(error, NotStarted):
        return Unavailable(f"this {what} is not ready yet", retry_after=NOT_READY_RETRY, stages=(part,))
    log.error("%s %r failed", what, part, exc_info=of_its_own(error))
    return InternalError(told(error, f"this {what} failed"), stages=(part,), logged=True)


def answers_later(part: str, what: str = "stage") -> PredictionError:
    """The error for a `part` that gave a job id where its answer is needed now."""
    return InternalError(
        f"this {what} answers later, so nothing can be made of its answer now; queue the whole instead", stages=(part,)
    )


def answer_of(name: str, answer: InferenceResponse, part: Predictor, context: Context) -> InferenceResponse:
    """The answer of the `part` that was chosen, as that of the whole called `name`: it says who answered."""
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


def smallest_batch(parts: Iterable[ModelMetadata]) -> int | None:
    """The rows that every one of `parts` takes in one request, or None where none has a bound."""
    return min((part.max_batch_size for part in parts if part.max_batch_size is not None), default=None)


def alike(name: str, platform: str, parts_are: str, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
    """The metadata of a whole in which any one of `parts` answers: what all of them take and give.

    Args:
        parts_are: what the parts are called, for the sentence: ``arms``.

    Raises:
        CompositionError: they do not take the same inputs and give the same outputs.
    """
    (first_name, first), *others = parts.items()
    for other_name, part in others:
        for what, verb in (("inputs", "takes"), ("outputs", "gives")):
            mine, its = _tensors(getattr(first, what)), _tensors(getattr(part, what))
            if mine != its or first.primary_output != part.primary_output:
                raise CompositionError(
                    f"the {parts_are} of {name!r} must have the same {what}: {first_name!r} {verb} "
                    f"{', '.join(mine)}, {other_name!r} {verb} {', '.join(its)}"
                )
    alike = all((part.labels, part.threshold) == (first.labels, first.threshold) for part in parts.values())
    labels, threshold = (first.labels, first.threshold) if alike else ((), None)
    version = ",".join(dict.fromkeys(part.version for part in parts.values()))
    return ModelMetadata(name, version, platform, first.inputs, first.outputs, first.primary_output, labels,
                         first.sample, smallest_batch(parts.values()), threshold)  # fmt: skip


def require_same_inputs(name: str, parts: Mapping[str, ModelMetadata]) -> None:
    """
    Raises:
        CompositionError: two of `parts` do not take the same inputs.
    """
    (first_name, first), *others = parts.items()
    for other_name, part in others:
        mine, its = _tensors(first.inputs), _tensors(part.inputs)
        if mine != its:
            raise CompositionError(
                f"the parts of {name!r} must take the same inputs: {first_name!r} takes {', '.join(mine)}, "
                f"{other_name!r} takes {', '.join(its)}"
            )


def _tensors(specs: Iterable[TensorSpec]) -> list[str]:
    return sorted(f"{spec.name} {spec.datatype}{list(spec.shape)}" for spec in specs)


@lru_cache(maxsize=256)  # asked for each answer, and the same until a model changes
def combined_identity(kind: str, *identities: str | None) -> str | None:
    """The SHA-256 of `kind` and all `identities` in order, or None if one of them is None."""
    if None in identities:
        return None
    return hashlib.sha256(json.dumps([kind, *identities]).encode()).hexdigest()


async def all_ended(tasks: Collection[asyncio.Task[Any]]) -> bool:
    """Returns when all have ended: whether the caller was cancelled meanwhile, which it also sees in `cancelling()`."""
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


class Answering(Protocol):
    """What is asked: a predictor, or something that asks one."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse: ...


Question = tuple[str, Answering, InferenceRequest]


async def ask_all(
    questions: Sequence[Question], *, fail_fast: bool
) -> tuple[dict[str, InferenceResponse], dict[str, PredictionError]]:
    """Asks every part in a task and a step of its own; returns, or is cancelled, only when all tasks have ended.

    `asyncio.TaskGroup` cannot do this: it takes a part that raises CancelledError by itself for one that was cancelled,
    and lets SystemExit out of the event loop.

    Args:
        fail_fast: the first error cancels the other parts; one that has not begun never begins.

    Returns:
        The answers by part, and the errors by part in the order in which they came.
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
                failed = InternalError("this part was cancelled from inside")
            errors[name] = error_within(name, failed, "part")
            errors[name].__cause__ = failed
            if fail_fast:
                cancel_all()

    def cancel_all() -> None:
        for task in tasks:
            task.cancel()

    tasks = [asyncio.create_task(ask(*question)) for question in questions]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        if not (fail_fast and errors):  # else they are cancelled already, and a second time would cut their clean-up
            cancel_all()
        await all_ended(tasks)
        raise
    return answers, errors
