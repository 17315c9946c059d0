"""Running a coroutine at once, without a task of its own for as long as it does not wait.

A small model's answer needs no waiting, and then a task is a large part of what it costs. Here one task stands by. What
is begun runs as if in that task: `asyncio.current_task()` is right, and the context is its own. If it comes to wait,
the task goes on with it, and another stands by. That is what an eager task of Python 3.12 is, but for one that is made
once and used until somebody waits. `_enter_task` and `_leave_task` are what asyncio documents for makers of tasks
("Extending", in its documentation).
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import coroutine
from typing import Any

__all__ = ["Begun", "Standby", "stands_by"]

Work = Coroutine[Any, Any, None]
NAME = "stands by"


class Begun:
    """Work that waits, and what it waits for."""

    __slots__ = ("_context", "_error", "_waiting", "_work")

    def __init__(self, work: Work, waiting: Any, context: Context) -> None:
        self._work, self._waiting, self._context = work, waiting, context
        self._error: asyncio.CancelledError | None = None

    def cancel(self, error: asyncio.CancelledError) -> None:
        """It is cancelled as soon as it is gone on with."""
        self._error = error

    async def rest(self) -> None:
        """Goes on with it, to its end."""
        await self._rest()

    @coroutine
    def _rest(self) -> Generator[Any, Any, None]:
        """What a task does with a coroutine, from the second step on."""
        throw, send, run = self._work.throw, self._work.send, self._context.run
        waiting, self._waiting = self._waiting, None
        try:
            if self._error is not None:
                waiting = run(throw, self._error)
            while True:
                try:
                    yield waiting
                except BaseException as error:
                    waiting = run(throw, error)
                else:
                    waiting = run(send, None)
        except StopIteration:
            return
        finally:
            del waiting  # a future that failed holds its error, which holds this frame


class Standby:
    """A task that stands by. One thing at a time can be begun in it; what that begins needs a Standby of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        self._order: asyncio.Future[tuple[Begun, Work]] = loop.create_future()
        self._ready = False

    def run(self, work: Work) -> asyncio.Task[None] | None:
        """Runs `work` as far as it need not wait: the task that goes on with it, or None if it has ended.

        Raises:
            BaseException: of work that has not waited. That it was cancelled is silent, as it is in a task.
        """
        if not self.ready():
            task = self._loop.create_task(work)
            return None if task.done() else task  # a loop may start its tasks eagerly
        try:
            begun = self.begin(work)
        except asyncio.CancelledError:
            return None
        return None if begun is None else self.go_on(begun, begun.rest())

    # `run` in its steps, for those who go on with something around the work:

    def ready(self) -> bool:
        """Whether `begin` may be called; if not, it will be so soon. Only while the loop runs."""
        if self._task is None or self._order.done():
            self._ready, self._order = False, self._loop.create_future()
            self._task = self._loop.create_task(self._stand_by(self._order), name=NAME)
        return self._ready

    def begin(self, work: Work) -> Begun | None:
        """Runs `work` until it waits or ends; None if it has ended.

        Raises:
            BaseException: whatever `work` raises.
        """
        task, loop = self._task, self._loop
        assert task is not None
        context, caller = copy_context(), asyncio.current_task()
        if caller is not None:
            _leave_task(loop, caller)
        _enter_task(loop, task)
        try:
            waiting = context.run(work.send, None)
        except StopIteration:
            return None
        finally:
            _leave_task(loop, task)
            if caller is not None:
                _enter_task(loop, caller)
        return Begun(work, waiting, context)

    def go_on(self, begun: Begun, work: Work) -> asyncio.Task[None]:
        """The task that awaits `work`, which awaits the rest of what has just been begun."""
        task, order = self._task, self._order
        assert task is not None
        self._task = None
        if order.done():  # what was begun has cancelled the task that it is in
            begun.cancel(asyncio.CancelledError())
            return self._loop.create_task(work)
        task.set_name("goes on")
        order.set_result((begun, work))
        return task

    def close(self) -> None:
        """Nobody stands by any more; what was gone on with goes on."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _stand_by(self, order: asyncio.Future[tuple[Begun, Work]]) -> None:
        self._ready = order is self._order
        try:
            begun, work = await order
        except asyncio.CancelledError as error:
            if order.cancelled():
                raise
            begun, work = order.result()  # cancelled between its order and its turn
            begun.cancel(error)
        await work


def stands_by(task: asyncio.Task[Any]) -> bool:
    """Whether it is one that has nothing to do yet."""
    return task.get_name() == NAME
