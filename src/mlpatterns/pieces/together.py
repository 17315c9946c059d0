"""Several requests at once, one to each part: what FanOut does with tasks, apart from what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mlpatterns.errors import InternalError, PredictionError
from mlpatterns.pieces.parts import all_ended, error_within
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.user_code import is_cancellation

__all__ = ["Question", "ask_all"]

Question = tuple[str, Predictor, InferenceRequest]


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

    async def ask(name: str, part: Predictor, request: InferenceRequest) -> None:
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
