"""A lease in the ControlStore: of all processes that want to do a work, one does it.

No clocks are compared: who waits takes the lease when the document has not changed for as long as a lease lasts by its
own clock, which is Kubernetes' way to elect a leader (client-go, `leaderelection`). The revision with which it was
taken is the fencing token: it grows with each holder.
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

RENEWALS = 3  # in the time that a lease lasts
LOOK = 1.0  # seconds at most between two looks whether the lease was given back
RELEASE_SECONDS = 1.0


class Lease:
    """The lease `key`, of which each process has one object.

    Args:
        seconds: that it lasts without being renewed: when its holder is killed another has it within so long and a
            third of that.
    """

    def __init__(self, control: ControlStore, clock: Clock, key: str, seconds: float) -> None:
        self._control, self._clock, self._key, self._seconds = control, clock, key, seconds
        self._holder = new_id()
        self._revision: int | None = None  # that this process wrote last
        self._seen: tuple[int, float] = (-1, 0.0)  # another's revision, and since when it has not changed

    async def hold(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Waits for the lease, then does `work`, which is given the fencing token; begins anew if the lease is lost.
        When the work is done the lease is held on to, until this is cancelled; then it is given back."""
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
            with suppress(PredictionError, TimeoutError):  # the store does not answer, or another was quicker
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
            Exception: the work's.
        """
        sure = self._clock.monotonic() + self._seconds  # until when nobody else can have taken it
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
        """So that another need not wait; if it cannot be written, the lease runs out by itself."""
        with suppress(PredictionError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._write("", self._revision)
