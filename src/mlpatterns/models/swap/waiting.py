"""Waiting for what comes first: a change of the shared document, the end of something else, or a moment."""

from __future__ import annotations

import asyncio
from typing import Any

from mlpatterns.interfaces import Clock

__all__ = ["Changes"]


class Changes(asyncio.Event):
    """Set while the document has changed since it was read."""

    async def or_done(self, *others: asyncio.Future[Any]) -> None:
        """Waits until the document changes, or one of `others` is done."""
        changed = asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait([changed, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def or_later(self, clock: Clock, seconds: float, *others: asyncio.Future[Any]) -> None:
        """The same, and for so many seconds at most."""
        pause = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await self.or_done(pause, *others)
        finally:
            pause.cancel()
