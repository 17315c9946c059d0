"""Loads the next version, one at a time, and waits for the end of the load or for a change of the shared document."""

from __future__ import annotations

import asyncio
from typing import Any

from mlpatterns.interfaces import Clock
from mlpatterns.models.swap.checks import Contract
from mlpatterns.models.swap.swapper import LoadedVersion, Swapper
from mlpatterns.runtime.replacing import wait_for_cancelled
from mlpatterns.user_errors import RegistryDown

__all__ = ["ChangeEvent", "VersionLoad"]


class VersionLoad:
    """The version that a swapper is loading.

    Attributes:
        version: the version that is being loaded, or None.
        task: the task that loads it, or None.
    """

    def __init__(self, swapper: Swapper) -> None:
        self._swapper = swapper
        self.version: int | None = None
        self.task: asyncio.Task[LoadedVersion] | None = None
        self._unfetched: int | None = None
        self._given_up: set[asyncio.Task[None]] = set()

    def begin(self, version: int, before: Contract | None) -> asyncio.Task[LoadedVersion]:
        """The task that loads a version, which is started if it does not run. The load of another version is cancelled.

        Args:
            before: the contract that the version must keep; see `Swapper.load`.
        """
        if self.task is None or self.version != version:
            self.cancel()
            loading = self._swapper.load(version, before)
            self.version, self.task = version, asyncio.create_task(loading, name=f"load {self._swapper.name}")
        return self.task

    @property
    def is_retry(self) -> bool:
        """Whether this load repeats one whose files could not be fetched."""
        return self.task is not None and self.version == self._unfetched

    def result(self) -> LoadedVersion:
        """The version that the finished load returned; raises the same errors as `Swapper.load`."""
        assert self.task is not None
        version, task, self.version, self.task = self.version, self.task, None, None
        try:
            return task.result()
        except RegistryDown:
            self._unfetched = version
            raise

    def cancel(self) -> None:
        task, self.version, self.task = self.task, None, None
        if task is not None:
            self.discard(task)

    def discard(self, loading: asyncio.Task[LoadedVersion]) -> None:
        """Cancels a load that is no longer needed, and stops the version if it was loaded already."""
        task = asyncio.create_task(_discarded(loading))
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)

    async def stop(self) -> None:
        self.cancel()
        await wait_for_cancelled(self._given_up)


async def _discarded(loading: asyncio.Task[LoadedVersion]) -> None:
    loading.cancel()
    await asyncio.wait([loading])
    if not loading.cancelled() and loading.exception() is None:
        await loading.result().stop()


class ChangeEvent(asyncio.Event):
    """An event that is set if the shared document has changed since it was last read."""

    async def or_done(self, *others: asyncio.Future[Any]) -> None:
        """Waits until the document changes, or one of `others` is done."""
        changed = asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait([changed, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def or_later(self, clock: Clock, seconds: float, *others: asyncio.Future[Any]) -> None:
        """As `or_done`, but waits at most `seconds`."""
        pause = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await self.or_done(pause, *others)
        finally:
            pause.cancel()
