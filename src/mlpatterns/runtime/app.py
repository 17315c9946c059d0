"""The runtime of one app, and the part of it that each piece can use."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from mlpatterns.errors import NotStarted
from mlpatterns.interfaces import Clock, ControlStore, Metrics, Shared
from mlpatterns.predictor import Predictor, Program
from mlpatterns.runtime.lease import Lease
from mlpatterns.runtime.shared import SharedDocuments
from mlpatterns.runtime.tasks import TaskOwner, Tasks, Work
from mlpatterns.runtime.threads import Threads
from mlpatterns.runtime.tree import Roots, is_in, start_order, with_programs
from mlpatterns.settings import Settings, cpus, reset_by
from mlpatterns.stores import open_store

__all__ = ["AppRuntime", "PieceRuntime"]

S = TypeVar("S")
T = TypeVar("T")
log = logging.getLogger("mlpatterns")

MOMENT, LOOK = 1.0, 0.005  # seconds: the longest wait for metadata, and the pause between two checks


class AppRuntime:
    """What the pieces of one app share: stores, threads, tasks, documents. It belongs to one event loop.

    Attributes:
        documents: the shared documents of all pieces.
        tasks: the background work of all pieces.
        programs: the running programs of all pieces.
    """

    def __init__(self, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self.settings, self.clock, self.metrics = settings, clock, metrics
        self.tasks, self.programs = Tasks(clock, metrics), Tasks(clock, metrics)
        self.control: ControlStore
        self.documents: SharedDocuments
        self._stores: dict[tuple[type, str], asyncio.Task[Any]] = {}
        self._roots: list[Predictor] = []
        self._started: list[Predictor] = []
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._threads = Threads(settings.thread_count, "mlpatterns")
        self._codec_threads = Threads(max(2, cpus()), "mlpatterns codec")

    async def open(self) -> None:
        self.control = await self.store(ControlStore, self.settings.control_url)  # type: ignore[type-abstract]
        self.documents = SharedDocuments(self.control, self.clock, reset_by())
        self.tasks.keep(TaskOwner(None, "app"), "poll the control store", self.documents.poll)

    async def close(self) -> None:
        """Ends the programs, stops the predictors, ends the tasks, then closes the stores and the thread pools."""
        await self.programs.end()
        started, self._started = self._started, []  # first, so that a predictor whose stop() stops others does nothing
        await self._stop(started)
        await self.tasks.end()
        for opening in reversed(list(self._stores.values())):
            await asyncio.wait([opening])  # the caller of `store` may have been cancelled meanwhile
            if not opening.cancelled() and opening.exception() is None:
                await _survive("a store did not close", opening.result().close)
        self._threads.close()
        self._codec_threads.close()

    # ---- predictors ----

    async def start_tree(self, roots: Roots) -> None:
        """Starts the predictors below `roots`, leaves first. Predictors that already run stay as they are.

        If one fails to start, the predictors that nothing else uses are stopped. The error of the start is raised.
        """
        self._roots += [root for _, root in roots]  # first, so that a shared predictor is not stopped meanwhile
        try:
            await self._start_all(start_order(roots))
        except BaseException:
            self._forget_roots(*[root for _, root in roots])
            await self._stop_unused()
            raise

    async def stop_tree(self, root: Predictor) -> None:
        """Stops the predictors that only `root` uses, in the reverse order of their start."""
        self._forget_roots(root)
        await self._stop_unused()

    def _forget_roots(self, *roots: Predictor) -> None:
        for root in roots:  # one entry for each: another caller may have started the same root
            for index, other in enumerate(self._roots):
                if other is root:
                    del self._roots[index]
                    break

    def _lock(self, predictor: Predictor) -> asyncio.Lock:
        """The lock for starts and stops of a predictor. It exists as long as a task holds it or waits for it."""
        return self._locks.setdefault(id(predictor), asyncio.Lock())

    async def _start_all(self, predictors: Roots) -> None:
        for path, predictor in predictors:
            async with self._lock(predictor):  # a concurrent second start waits, then finds it started
                if not is_in(predictor, self._started):
                    await self._start(path, predictor)

    async def _start(self, path: str, predictor: Predictor) -> None:
        try:
            await predictor.start(PieceRuntime(self, predictor, path))
        except BaseException:
            await self._end(predictor)  # a start that failed half-way may hold resources too
            raise
        self._started.append(predictor)

    async def _stop_unused(self) -> None:
        roots = [("", root) for root in self._roots]
        used = [predictor for _, predictor in [*start_order(roots), *with_programs(roots)]]
        going = [predictor for predictor in self._started if not is_in(predictor, used)]
        self._started = [predictor for predictor in self._started if is_in(predictor, used)]
        await self._stop(going)

    async def _stop(self, predictors: list[Predictor]) -> None:
        """Ends the programs of `predictors`, then stops the predictors in reverse order."""
        await self.programs.end(predictors)
        for predictor in reversed(predictors):
            async with self._lock(predictor):  # a new start waits until the stop has ended
                await self._end(predictor)

    async def _end(self, predictor: Predictor) -> None:
        """Stops a predictor, ends its background work and drops its shared documents. An error of `stop` is logged."""
        await _survive(f"{predictor.name!r} did not stop", predictor.stop)
        await self.tasks.end([predictor])
        self.documents.drop(predictor)

    # ---- programs ----

    async def run_programs(self, roots: Roots) -> bool:
        """Runs the programs of all pieces below `roots`, including those of children that are `apart`.

        A piece that has programs is started if it does not run yet. Its children are not started: a program starts
        the children that it needs. Returns whether there are any programs.
        """
        self._roots += [root for _, root in roots if not is_in(root, self._roots)]
        pieces = with_programs(roots)
        await self._start_all(pieces)
        for path, piece in pieces:
            for program in piece.programs:
                self.programs.keep(TaskOwner(piece, path), program.name, partial(self._run, program, piece, path))
        return bool(pieces)

    async def wait_for_descriptions(self, roots: Roots) -> None:
        """Waits, at most `MOMENT` seconds, until each piece that has programs has its metadata from them."""
        until, pieces = time.monotonic() + MOMENT, with_programs(roots)
        while not all(_is_described(piece) for _, piece in pieces) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK)

    def end_programs(self) -> None:
        """Begins to end all programs in the background, so that another process can take over their leases."""
        self.tasks.begin(TaskOwner(None, "app"), "end the programs", self.programs.end, most=1)

    async def _run(self, program: Program, piece: Predictor, path: str) -> None:
        if not program.exclusive:
            await program.run(PieceRuntime(self, piece, path))
            return
        lease = Lease(self.control, self.clock, f"lease/{path}/{program.name}", self.settings.lease_seconds)
        await lease.hold(lambda fence: program.run(PieceRuntime(self, piece, path, fence)))

    # ---- what pieces use ----

    async def store(self, need: type[S], url: str) -> S:
        """As Runtime.store."""
        key = (need, url)
        if key not in self._stores:
            self._stores[key] = asyncio.create_task(open_store(need, url))
        opening = self._stores[key]
        try:
            result: S = await asyncio.shield(opening)
        except Exception:
            if self._stores.get(key) is opening:  # and not the new attempt of another caller
                del self._stores[key]  # so that the next call tries again
            raise
        return result

    async def offload(self, work: Callable[[], T]) -> T:
        """As Runtime.offload."""
        return await self._threads.run(work)

    async def offload_codec(self, work: Callable[[], T]) -> T:
        """As `offload`, in a separate pool for the server's decoding and encoding, which user code must not delay."""
        return await self._codec_threads.run(work)

    # ---- health ----

    def waiting(self) -> str:
        """The reason why the app cannot answer yet, or an empty string."""
        return "the control store has not answered yet" if self.documents.unread else ""

    def trouble(self) -> list[str]:
        """One sentence for each problem outside of the predictors, while the app still answers."""
        documents = [self.documents.trouble] if self.documents.trouble else []
        return [*documents, *self.tasks.failing, *self.programs.failing]


class PieceRuntime:
    """The runtime of one piece at its path; see predictor.Runtime."""

    def __init__(self, app: AppRuntime, piece: Predictor, path: str, fence: int = 0) -> None:
        self.clock, self.metrics, self.settings, self.control = app.clock, app.metrics, app.settings, app.control
        self.path, self.fence = path, fence
        self.store, self.offload, self.stop_tree = app.store, app.offload, app.stop_tree
        self._app, self._piece, self._owner = app, piece, TaskOwner(piece, path)

    async def shared(self, key: str, type: type[T], initial: T) -> Shared[T]:
        return await self._app.documents.add(f"{self.path}/{key}", type, initial, self._piece)

    def keep(self, name: str, work: Work) -> None:
        self._app.tasks.keep(self._owner, name, work)

    def begin(self, name: str, work: Work, *, most: int) -> bool:
        return self._app.tasks.begin(self._owner, name, work, most)

    async def start_tree(self, *roots: Predictor) -> None:
        keys = {id(child): key for key, child in self._piece.children.items()}
        await self._app.start_tree([(f"{self.path}/{keys.get(id(root), root.name)}", root) for root in roots])


def _is_described(piece: Predictor) -> bool:
    try:
        return piece.metadata is not None
    except NotStarted:
        return False


async def _survive(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Awaits `work`, and logs its error instead of raising it, so that everything else is still ended."""
    try:
        await work()
    except Exception:
        log.exception(what)
