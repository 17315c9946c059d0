"""The load of the next version: one at a time; when another version should serve meanwhile, the load is given up."""

from __future__ import annotations

import asyncio

from mlpatterns.errors import RegistryDown
from mlpatterns.models.swap.contract import Contract
from mlpatterns.models.swap.swapper import Generation, Swapper
from mlpatterns.runtime.replacing import wait_for_cancelled

__all__ = ["OneLoad"]


class OneLoad:
    """What a swapper loads just now.

    Attributes:
        version: that is loaded, or None.
        task: that loads it, or None.
    """

    def __init__(self, swapper: Swapper) -> None:
        self._swapper = swapper
        self.version: int | None = None
        self.task: asyncio.Task[Generation] | None = None
        self._unfetched: int | None = None
        self._given_up: set[asyncio.Task[None]] = set()

    def of(self, version: int, before: Contract | None) -> asyncio.Task[Generation]:
        """The task that loads a version, begun or under way; that of another is given up.

        Args:
            before: what the version must keep to, as Swapper.load takes it.
        """
        if self.task is None or self.version != version:
            self.give_up()
            loading = self._swapper.load(version, before)
            self.version, self.task = version, asyncio.create_task(loading, name=f"load {self._swapper.name}")
        return self.task

    @property
    def again(self) -> bool:
        """Whether it is one more attempt at what could not be fetched."""
        return self.task is not None and self.version == self._unfetched

    def result(self) -> Generation:
        """What the load that has ended has loaded; raises as Swapper.load."""
        assert self.task is not None
        version, task, self.version, self.task = self.version, self.task, None, None
        try:
            return task.result()
        except RegistryDown:
            self._unfetched = version
            raise

    def give_up(self) -> None:
        task, self.version, self.task = self.task, None, None
        if task is not None:
            self.discard(task)

    def discard(self, loading: asyncio.Task[Generation]) -> None:
        """Ends a load that nobody waits for any more, and stops what it has loaded."""
        task = asyncio.create_task(_discarded(loading))
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)

    async def stop(self) -> None:
        self.give_up()
        await wait_for_cancelled(self._given_up)


async def _discarded(loading: asyncio.Task[Generation]) -> None:
    loading.cancel()
    await asyncio.wait([loading])
    if not loading.cancelled() and loading.exception() is None:
        await loading.result().stop()
