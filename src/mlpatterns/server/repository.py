"""Loads and unloads models while the app runs. The models are always those that build() makes.

Only one load or unload runs at a time. Each runs to its end, even if its caller no longer waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

from msgspec import Struct

from mlpatterns.errors import Conflict, PredictionError
from mlpatterns.pieces.limit import Limit
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import AppRuntime
from mlpatterns.runtime.replacing import start_checked, start_failure, stop_when_idle, wait_for_cancelled
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip.model import named_model
from mlpatterns.user_errors import UserError

__all__ = ["IndexEntry", "Repository"]

log = logging.getLogger("mlpatterns")


class IndexEntry(Struct, frozen=True):
    """One model in the answer of `POST /v2/repository/index`."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE", "LOADING"]
    reason: str = ""


class Repository:
    """Loads, unloads and lists the models.

    Args:
        hosted: the models by the name under which each is served.
        build: makes new predictors for all names and does not start them.
        changed: called after a model was replaced or unloaded. If it raises for a new model, the earlier one stays.
    """

    def __init__(
        self,
        hosted: Mapping[str, Hosted],
        runtime: AppRuntime,
        build: Callable[[], Mapping[str, Predictor]],
        changed: Callable[[], None],
    ) -> None:
        self.hosted, self._runtime, self._build, self._changed = hosted, runtime, build, changed
        self._lock = asyncio.Lock()
        self._work: set[asyncio.Task[None]] = set()

    def index(self) -> list[IndexEntry]:
        """The entries of all models, loaded or not."""
        return [_entry(hosted) for hosted in self.hosted.values()]

    async def load(self, name: str) -> None:
        """Builds and starts the model again, and stops the earlier one after its last request.

        Raises:
            NotFound: there is no such model.
            Conflict: the model cannot be loaded, or this is one worker of several. The earlier model still serves.
        """
        await self._run_to_end(self._load(self._find(name)))

    async def unload(self, name: str) -> None:
        """Refuses new requests, waits for the running ones to end, and stops the model.

        Raises:
            NotFound: there is no such model.
            Conflict: this is one worker of several.
        """
        await self._run_to_end(self._unload(self._find(name)))

    async def close(self) -> None:
        """Cancels the running loads and unloads, because the app stops. Waits until they have ended."""
        for task in self._work:
            task.cancel()
        await wait_for_cancelled(self._work)

    def _find(self, name: str) -> Hosted:
        workers = self._runtime.settings.workers
        if workers > 1:
            raise Conflict(
                f"load and unload reach one worker, and this server has {workers}: send SIGHUP to `mlpatterns run` "
                "instead, which replaces them one by one with what the registry has now"
            )
        return named_model(self.hosted, name)

    async def _run_to_end(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # log it too, since the caller may have left
            log.warning("%s", error, exc_info=None if isinstance(error, PredictionError) else error)

    async def _load(self, hosted: Hosted) -> None:
        async with self._lock:
            hosted.loading = True
            try:
                before = await self._replace(hosted)
            except Exception as error:
                raise _load_conflict(hosted, error) from error
            finally:
                hosted.loading = False
            if before is not None:
                await self._retire(hosted, before)

    async def _replace(self, hosted: Hosted) -> Limit | None:
        """Builds, starts and hosts a new model. Returns the Limit around the earlier one, or None if there was none."""
        built = self._build().get(hosted.name)
        if built is None:
            raise UserError("build() no longer returns it")
        if built is hosted.model:
            raise UserError("build() returns the same object each time; let it make a new one")
        fresh = HostedTree(hosted, hosted.limited(built), self._runtime)
        before = hosted.limit

        async def check() -> None:
            hosted.host(fresh.limit)
            try:
                if self._runtime.settings.programs_inside:
                    await self._runtime.run_programs([(hosted.path, built)])
                self._changed()
            except BaseException:
                hosted.host(before)
                raise

        await start_checked(fresh, check)
        return before

    async def _unload(self, hosted: Hosted) -> None:
        async with self._lock:
            before = hosted.host(None, "unloaded")
            self._changed()
            if before is not None:
                await self._retire(hosted, before)

    async def _retire(self, hosted: Hosted, limit: Limit) -> None:
        await stop_when_idle(HostedTree(hosted, limit, self._runtime), self._runtime.settings, self._runtime.clock)


class HostedTree:
    """A model and the Limit around it. It implements the protocol `replacing.Tree`."""

    def __init__(self, hosted: Hosted, limit: Limit, runtime: AppRuntime) -> None:
        self.name, self.limit, self._hosted, self._runtime = hosted.name, limit, hosted, runtime

    @property
    def busy(self) -> bool:
        return self.limit.busy

    async def start(self) -> None:
        await self._runtime.start_tree([(self._hosted.path, self.limit.inner), (self._hosted.limit_path, self.limit)])

    async def stop(self) -> None:
        await self._runtime.stop_tree(self.limit)
        await self._runtime.stop_tree(self.limit.inner)


def _entry(hosted: Hosted) -> IndexEntry:
    if hosted.known is not None:
        return IndexEntry(hosted.name, hosted.known.version, "READY")
    state: Literal["LOADING", "UNAVAILABLE"] = "LOADING" if hosted.loading else "UNAVAILABLE"
    return IndexEntry(hosted.name, "", state, hosted.reason or "not ready yet")


def _load_conflict(hosted: Hosted, error: Exception) -> Conflict:
    what = f"the model {hosted.name!r}"
    reason = start_failure(what, error)
    if hosted.limit is None:
        hosted.reason = reason
        return Conflict(f"{what} could not be loaded: {reason}")
    return Conflict(f"{what} could not be loaded, and the previous one keeps serving: {reason}")
