"""Background work of pieces: kept running with restarts and back-off, or run once. It ends when its piece stops."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from msgspec import Struct

from mlpatterns.errors import MlpatternsError
from mlpatterns.interfaces import Clock, Metrics
from mlpatterns.predictor import Predictor
from mlpatterns.runtime.tree import is_in
from mlpatterns.user_code import await_user_code

__all__ = ["FAILING", "Tasks", "failure", "until_idle"]

log = logging.getLogger("mlpatterns")

LOOK = 0.01  # seconds between two checks whether the last request of a model has ended
RESTART_FIRST, RESTART_MOST = 0.1, 30.0  # seconds until work that failed is restarted
FAILING = "mlpatterns_task_failing"
CANCEL_AGAIN = 5.0  # seconds
STEADY = 10.0  # seconds that restarted work must run until its failure is no longer reported

Work = Callable[[], Awaitable[None]]


class TaskOwner(Struct, frozen=True, eq=False):
    """The owner of background work: a piece and its path, or the app itself (without a piece)."""

    piece: Predictor | None
    path: str


class Tasks:
    """All background work of one app."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock, self._metrics = clock, metrics
        self._owners: dict[asyncio.Task[None], TaskOwner] = {}
        self._begun: Counter[tuple[str, str]] = Counter()
        self._failing: set[tuple[str, str]] = set()

    @property
    def failing(self) -> list[str]:
        """One sentence for each work passed to `keep` that failed and has not run for `STEADY` seconds since."""
        return [failure(path, name) for path, name in sorted(self._failing)]

    def keep(self, owner: TaskOwner, name: str, work: Work) -> None:
        """As Runtime.keep."""
        self._start(owner, f"{owner.path} {name}", self._kept(owner.path, name, work))

    def begin(self, owner: TaskOwner, name: str, work: Work, most: int) -> bool:
        """As Runtime.begin."""
        key = owner.path, name
        if self._begun[key] >= most:
            self._metrics.counter(
                "mlpatterns_tasks_refused_total", "Background work that was not begun: too much of it ran.",
                piece=owner.path, task=name,
            ).inc()  # fmt: skip
            return False
        self._begun[key] += 1
        task = self._start(owner, f"{owner.path} {name}", self._once(owner.path, name, work))
        task.add_done_callback(lambda _: self._begun.subtract([key]))
        return True

    async def end(self, pieces: Collection[Predictor] | None = None) -> None:
        """Cancels the work of `pieces`, or all work, and waits until it has ended.

        Work that goes on is cancelled again after a while, because libraries can lose a cancellation. For example,
        `asyncio.wait_for` of Python 3.11 does, if what it awaits ends at the same moment.
        """
        ending = {
            task
            for task, owner in self._owners.items()
            if pieces is None or (owner.piece is not None and is_in(owner.piece, pieces))
        }
        going = ending
        while going:
            for task in going:
                task.cancel()
            _, going = await asyncio.wait(going, timeout=CANCEL_AGAIN)
        await asyncio.gather(*ending, return_exceptions=True)  # so that no exception is reported as never retrieved

    def _start(self, owner: TaskOwner, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._owners[task] = owner
        task.add_done_callback(lambda done: self._owners.pop(done, None))
        return task

    async def _once(self, path: str, name: str, work: Work) -> None:
        try:
            await await_user_code(work())
        except Exception as error:
            self._failed(path, name)
            _log(error, "background work %r of %r failed", name, path)

    async def _kept(self, path: str, name: str, work: Work) -> None:
        delay = RESTART_FIRST
        try:
            while True:
                began = self._clock.monotonic()
                steady = asyncio.ensure_future(self._steady(path, name)) if (path, name) in self._failing else None
                try:
                    await await_user_code(work())
                    return
                except Exception as error:
                    if _is_ending():  # the failure came first, and replaced the cancellation
                        return
                    self._failed(path, name)
                    if self._clock.monotonic() - began > RESTART_MOST:
                        delay = RESTART_FIRST  # it had recovered: this is a new failure
                    self._tell(path, name, failing=True)
                    _log(error, "background work %r of %r failed; it starts again in %.1f s", name, path, delay)
                finally:
                    if steady is not None:
                        steady.cancel()
                await self._clock.sleep(delay)
                delay = min(2 * delay, RESTART_MOST)
        finally:
            self._tell(path, name, failing=False)

    async def _steady(self, path: str, name: str) -> None:
        await self._clock.sleep(STEADY)
        self._tell(path, name, failing=False)

    def _tell(self, path: str, name: str, *, failing: bool) -> None:
        """Records whether the work fails. The gauge also covers programs in another process."""
        if failing != ((path, name) in self._failing):
            self._failing ^= {(path, name)}
            self._metrics.gauge(
                FAILING, "1 while background work fails and is started anew.", workers="max", piece=path, task=name
            ).set(failing)

    def _failed(self, path: str, name: str) -> None:
        self._metrics.counter(
            "mlpatterns_task_failures_total", "Failures of background work.", piece=path, task=name
        ).inc()


def _log(error: Exception, what: str, *values: object) -> None:
    """Logs the sentence of an error of this library, and the traceback of any other error."""
    if isinstance(error, MlpatternsError):
        cause = " ".join(str(error.__cause__ or "").split())
        log.error(f"{what}: %s%s", *values, error, "" if cause in str(error) else f" ({cause})")  # said once
    else:
        log.error(what, *values, exc_info=error)


def _is_ending() -> bool:
    """Whether the current task was cancelled. If the awaited work fails at the same moment, `asyncio.wait_for` of
    Python 3.11 raises the failure, and the cancellation is lost."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def failure(path: str, name: str) -> str:
    """The sentence that reports work that fails."""
    return f"{name} of {path} fails and is started anew"


async def until_idle(busy: Callable[[], bool], clock: Clock, seconds: float) -> bool:
    """Waits until `busy` returns False, at most `seconds`. Returns whether it became idle."""
    until = clock.monotonic() + seconds
    while busy() and clock.monotonic() < until:
        await clock.sleep(LOOK)
    return not busy()
