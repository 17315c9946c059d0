"""Lifecycle: `running(root)` alone starts and stops predictors, and hands them their runtime.

async with running(root):
    response = await root.predict(request)
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from mlpatterns.errors import CompositionError
from mlpatterns.metrics import MetricRegistry
from mlpatterns.predictor import Clock, ControlStore, Metrics, Predictor
from mlpatterns.settings import Settings, load_settings
from mlpatterns.stores import open_store

__all__ = ["AppRuntime", "SystemClock", "finished", "leaves_first", "running", "settled", "until_idle"]

S = TypeVar("S")
T = TypeVar("T")
log = logging.getLogger("mlpatterns")

_starting: contextvars.ContextVar[Predictor | None] = contextvars.ContextVar("starting", default=None)

LOOK = 0.01  # seconds between two looks whether the last request of a model has ended
RESTART_FIRST, RESTART_MOST = 0.1, 30.0  # seconds before spawned work that failed is started anew


class SystemClock:
    """The machine's time."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)


class AppRuntime:
    """What `running` hands to predictors; see predictor.Runtime. It belongs to one event loop."""

    def __init__(self, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self.settings, self.clock, self.metrics = settings, clock, metrics
        self.control: ControlStore
        self._stores: dict[tuple[type, str], asyncio.Task[Any]] = {}
        self._tasks: dict[asyncio.Task[None], Predictor | None] = {}  # and who spawned each
        self._roots: list[Predictor] = []
        self._started: list[Predictor] = []
        self._pool = ThreadPoolExecutor(settings.thread_count, thread_name_prefix="mlpatterns")

    async def open(self) -> None:
        self.control = await self.store(ControlStore, self.settings.control)  # type: ignore[type-abstract]

    async def close(self) -> None:
        """Stops all predictors, ends spawned work, then closes the stores, then the threads."""
        started, self._started = self._started, []  # first, so that who stops others in his own stop finds them gone
        await self._stop(started)
        await _end(self._tasks)
        for opening in reversed(list(self._stores.values())):
            await asyncio.wait([opening])  # whoever asked for it may have been cancelled while it was opening
            if not opening.cancelled() and opening.exception() is None:
                await _survive("a store did not close", opening.result().close)
        self._pool.shutdown(wait=True)

    async def start_tree(self, *roots: Predictor) -> None:
        """Starts the predictors below `roots` that are not running, leaves first and each once.

        If one fails to start, those that this call started are stopped and its error is raised.
        """
        started: list[Predictor] = []
        try:
            for predictor in [one for one in leaves_first(*roots) if not _is_in(one, self._started)]:
                started.append(predictor)  # before its start: one that failed half-way may hold something too
                await self._start(predictor)
        except BaseException:
            await self._stop(started)
            raise
        self._started += started
        self._roots += roots

    async def stop_tree(self, root: Predictor) -> None:
        """Stops what runs only for `root`, in the reverse of its start; what other roots use too runs on."""
        self._roots = [other for other in self._roots if other is not root]
        used = list(leaves_first(*self._roots))
        going = [predictor for predictor in self._started if not _is_in(predictor, used)]
        self._started = [predictor for predictor in self._started if _is_in(predictor, used)]
        await self._stop(going)

    async def _start(self, predictor: Predictor) -> None:
        token = _starting.set(predictor)
        try:
            await predictor.start(self)
        finally:
            _starting.reset(token)

    async def _stop(self, predictors: list[Predictor]) -> None:
        """Stops in reverse, then ends what they spawned."""
        for predictor in reversed(predictors):
            await _survive(f"{predictor.name!r} did not stop", predictor.stop)
        await _end([task for task, owner in self._tasks.items() if owner is not None and _is_in(owner, predictors)])

    async def store(self, need: type[S], url: str) -> S:
        key = (need, url)
        if key not in self._stores:
            self._stores[key] = asyncio.create_task(open_store(need, url))
        opening = self._stores[key]
        try:
            result: S = await asyncio.shield(opening)
        except Exception:
            if self._stores.get(key) is opening:  # not another's new attempt
                del self._stores[key]  # so that the next who asks tries again
            raise
        return result

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._supervise(name, work), name=name)
        self._tasks[task] = _starting.get()
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def offload(self, work: Callable[[], T]) -> T:
        # In a copy of the context, so that its log lines name the request.
        return await finished(self._pool.submit(contextvars.copy_context().run, work))

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        failures = self.metrics.counter("mlpatterns_task_failures_total", "Failures of background tasks.", task=name)
        delay = RESTART_FIRST
        while True:
            began = self.clock.monotonic()
            try:
                return await work()
            except Exception:
                failures.inc()
                if self.clock.monotonic() - began > RESTART_MOST:
                    delay = RESTART_FIRST  # it had recovered: this is a new failure
                log.exception("background task %r failed; it starts anew in %.1f s", name, delay)
            await self.clock.sleep(delay)
            delay = min(2 * delay, RESTART_MOST)


async def finished(job: Future[T]) -> T:
    """The result of what a pool of threads or processes works on; ends when that ends, as `settled` does."""
    try:
        return await settled(asyncio.wrap_future(job), job.cancel)
    finally:
        del job  # as in `settled`


async def settled(future: asyncio.Future[T], on_cancel: Callable[[], object]) -> T:
    """Awaits `future` to its true end, even if the caller is cancelled meanwhile; only then is the caller's
    cancellation raised. What a thread is doing cannot be stopped, so whoever counts it must go on counting it.

    Args:
        on_cancel: called once when the caller is cancelled: the chance to make the work end sooner.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.done():
            on_cancel()
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue  # a second cancellation changes nothing: the first is raised below
        if not future.cancelled():
            future.exception()  # retrieved, or asyncio would log that nobody looked
        raise
    finally:
        # The error of the work holds this frame, and this frame would hold the future that holds the error: a circle
        # that keeps a request's body and tensors until the collector comes by, which is seldom.
        del future, on_cancel


async def until_idle(busy: Callable[[], bool], clock: Clock, seconds: float) -> bool:
    """Waits until `busy` says no, at most `seconds`; whether it did."""
    until = clock.monotonic() + seconds
    while busy() and clock.monotonic() < until:
        await clock.sleep(LOOK)
    return not busy()


def leaves_first(*roots: Predictor) -> Iterator[Predictor]:
    """Every predictor below `roots` once, children before those that wrap them.

    Raises:
        CompositionError: if a predictor contains itself.
    """
    seen: set[int] = set()
    path: list[int] = []

    def visit(predictor: Predictor) -> Iterator[Predictor]:
        if id(predictor) in path:
            raise CompositionError(f"{predictor.name!r} contains itself")
        if id(predictor) in seen:
            return
        path.append(id(predictor))
        for child in predictor.children.values():
            yield from visit(child)
        path.pop()
        seen.add(id(predictor))
        yield predictor

    for root in roots:
        yield from visit(root)


@asynccontextmanager
async def running(
    *roots: Predictor,
    settings: Settings | None = None,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[AppRuntime]:
    """Starts all predictors below `roots`, leaves first and each once; stops them in reverse.

    If one fails to start, those already started are stopped and its error is raised.
    """
    runtime = AppRuntime(settings or load_settings().settings, clock or SystemClock(), metrics or MetricRegistry())
    try:
        await runtime.open()
        await runtime.start_tree(*roots)
        del roots  # or this frame would keep those alive that are unloaded
        yield runtime
    finally:
        await runtime.close()


def _is_in(predictor: Predictor, others: Iterable[Predictor]) -> bool:
    """By identity: a predictor may have an equality of its own."""
    return any(predictor is other for other in others)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


async def _survive(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """One that fails to end must not keep the others from ending."""
    try:
        await work()
    except Exception:
        log.exception(what)
