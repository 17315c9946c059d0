"""Several requests at once, one to each part: what FanOut does with tasks, apart from what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from mlpatterns.errors import InternalError, PredictionError
from mlpatterns.pieces.parts import error_within
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.prompt import Standby

__all__ = ["Question", "Together", "all_ended"]

Question = tuple[str, Predictor, InferenceRequest]


class Together:
    """One round of questions and what came back.

    All parts but the last run as in tasks of their own, and have one as soon as they wait; the last runs in the
    caller's. That is why a part that fails may have to interrupt the caller, the way `asyncio.TaskGroup` does.

    Args:
        fail_fast: the first error ends the other parts.
        standby: runs those that need not wait; one has ended before the next is asked.

    Attributes:
        answers: by part.
        errors: by part, in the order in which they came.
    """

    __slots__ = (
        "_aborted",
        "_barrier",
        "_caller",
        "_cancelled_before",
        "_fail_fast",
        "_interrupted",
        "_left",
        "_standby",
        "_tasks",
        "answers",
        "errors",
    )

    def __init__(self, *, fail_fast: bool, standby: Standby) -> None:
        self.answers: dict[str, InferenceResponse] = {}
        self.errors: dict[str, PredictionError] = {}
        self._fail_fast, self._standby = fail_fast, standby
        self._tasks: list[asyncio.Task[None]] = []
        self._caller: asyncio.Task[object] | None = None  # while it runs the last part
        self._barrier: asyncio.Future[None] | None = None  # while the caller waits for the other parts
        self._left = self._cancelled_before = 0
        self._aborted = self._interrupted = False

    async def ask(self, questions: Sequence[Question]) -> None:
        """Asks every part, and returns or is cancelled only when all have truly ended."""
        caller = asyncio.current_task()
        assert caller is not None
        self._cancelled_before = caller.cancelling()
        *others, last = questions
        self._left = len(questions)
        try:
            for question in others:
                if not self._aborted and (task := self._standby.run(self._ask(*question))) is not None:
                    self._tasks.append(task)
            if not self._aborted:
                self._caller = caller
                await self._ask(*last)
                self._caller = None
            if caller.cancelling() > self._cancelled_before:
                self._abort()  # the last part kept a cancellation to itself, which was meant for all
            elif self._left and not self._aborted:
                self._barrier = asyncio.get_running_loop().create_future()
                await self._barrier
        except asyncio.CancelledError:
            self._abort()
        if self._aborted:
            await self._land(caller)
            if caller.cancelling() > self._cancelled_before:
                raise asyncio.CancelledError

    async def _ask(self, name: str, part: Predictor, request: InferenceRequest) -> None:
        try:
            self.answers[name] = await part.predict(request)
        except Exception as error:
            self._failed(name, error)
        except asyncio.CancelledError:
            if self._is_cancelled():
                raise
            self._failed(name, InternalError("this part was cancelled from inside"))
        finally:
            self._left -= 1
            if not self._left:
                self._wake()

    def _is_cancelled(self) -> bool:
        """Whether somebody cancelled the task this runs in; a part may also raise CancelledError by itself."""
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling() > (self._cancelled_before if task is self._caller else 0)

    def _failed(self, name: str, error: Exception) -> None:
        self.errors[name] = error_within(name, error, "part")
        self.errors[name].__cause__ = error
        if self._fail_fast:
            self._abort()

    def _wake(self) -> None:
        if self._barrier is not None and not self._barrier.done():
            self._barrier.set_result(None)

    def _abort(self) -> None:
        """Cancels every part but the one that calls this."""
        if self._aborted:
            return
        self._aborted = True
        this = asyncio.current_task()
        for task in self._tasks:
            if task is not this:
                task.cancel()
        if self._caller is not None and self._caller is not this:
            self._interrupted = self._caller.cancel()
        self._wake()

    async def _land(self, caller: asyncio.Task[object]) -> None:
        """Waits until what was cancelled has ended; the caller's own cancellation is kept waiting, not lost."""
        self._caller = None
        await all_ended(self._tasks)
        if self._interrupted:
            caller.uncancel()
            self._interrupted = False


async def all_ended(tasks: Collection[asyncio.Task[None]]) -> bool:
    """Returns when all have ended: whether the caller was cancelled meanwhile, which it also sees in `cancelling()`."""
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled
