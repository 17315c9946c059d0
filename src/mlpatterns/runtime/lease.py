"""A lease in the ControlStore: of several processes, only the holder does the work.

The clocks of processes are not compared. A waiting process takes the lease when the lease's document has not changed
for the duration of a lease, measured by the clock of the waiting process. Kubernetes elects a leader in the same way
(client-go, `leaderelection`). The fencing token is the revision at which the lease was taken; it grows with each
holder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from mlpatterns.errors import Conflict, PredictionError, Unavailable
from mlpatterns.ids import new_id
from mlpatterns.interfaces import Clock, ControlStore, Document

__all__ = ["Lease"]

log = logging.getLogger("mlpatterns")

RENEWALS = 3  # renewals in the duration of a lease
LOOK = 1.0  # at most so many seconds between two checks whether the lease was released
RELEASE_SECONDS = 1.0


class Lease:
    """The lease `key`, as one process sees it.

    Args:
        seconds: its duration without a renewal. When the holder is killed, another process has the lease after at most
            four thirds of it.
    """

    def __init__(self, control: ControlStore, clock: Clock, key: str, seconds: float) -> None:
        self._control, self._clock, self._key, self._seconds = control, clock, key, seconds
        self._holder = new_id()
        self._revision: int | None = None  # of the last write by this process
        self._seen: tuple[int, float] = (-1, 0.0)  # the revision of another holder, and when it was first seen

    async def hold(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Waits for the lease, then calls `work` with the fencing token.

        If the lease is lost, the work is cancelled, and this call waits for the lease again. When the work is done, the
        process keeps the lease until this call is cancelled. A cancellation releases the lease.
        """
        while True:
            token = await self._acquired()
            log.info("%s: this process has the lease", self._key)
            working = asyncio.ensure_future(work(token))
            try:
                await self._renewed(working)
            finally:
                working.cancel()
                await asyncio.wait([working])
                await self._release()
            log.warning("%s: this process has lost the lease", self._key)

    async def _acquired(self) -> int:
        while True:
            with suppress(PredictionError, TimeoutError):  # the store does not answer, or another process was faster
                async with asyncio.timeout(self._seconds):
                    stored = (await self._control.get_many([self._key])).get(self._key)
                    if stored is None or self._is_free(stored):
                        return await self._write(self._holder, stored.revision if stored else None)
            await self._clock.sleep(min(LOOK, self._seconds / RENEWALS))

    def _is_free(self, stored: Document[Any]) -> bool:
        now = self._clock.monotonic()
        if not stored.value:
            return True
        if stored.revision != self._seen[0]:
            self._seen = stored.revision, now
        return now - self._seen[1] >= self._seconds

    async def _renewed(self, working: asyncio.Future[None]) -> None:
        """Renews the lease, and returns when it is lost.

        Raises:
            Exception: the error of the work.
        """
        sure = self._clock.monotonic() + self._seconds  # before this time no other process can have taken the lease
        while self._clock.monotonic() < sure:
            pause = asyncio.ensure_future(self._clock.sleep(self._seconds / RENEWALS))
            try:
                await asyncio.wait([pause, *([] if working.done() else [working])], return_when="FIRST_COMPLETED")
            finally:
                pause.cancel()
            if working.done():
                working.result()
            began = self._clock.monotonic()
            try:
                async with asyncio.timeout(max(0.0, sure - began)):
                    await self._write(self._holder, self._revision)
            except Conflict:
                return
            except (Unavailable, TimeoutError):
                continue
            sure = began + self._seconds

    async def _write(self, holder: str, expected: int | None) -> int:
        self._revision = (
            await self._control.put(self._key, holder, expected=expected, by=holder or self._holder)
        ).revision
        return self._revision

    async def _release(self) -> None:
        """Releases the lease, so that another process need not wait. If the write fails, the lease expires."""
        with suppress(PredictionError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._write("", self._revision)
