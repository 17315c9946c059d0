"""How one started tree takes the place of another: started and checked beside it; then it is asked, and the other is
stopped when its last request has ended. What hot swaps and the model repository have in common."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

from mlpatterns.errors import MlpatternsError
from mlpatterns.interfaces import Clock
from mlpatterns.runtime.tasks import until_idle
from mlpatterns.settings import Settings

__all__ = ["Tree", "abandoned", "prepared", "retired", "why"]

log = logging.getLogger("mlpatterns")

PATIENCE = 5.0  # seconds beyond the time limit of requests, after which a tree is stopped whatever it does
LAST_MOMENT = 0.5  # seconds for loads that are cancelled to end


class Tree(Protocol):
    """Predictors that start, answer and stop together."""

    @property
    def name(self) -> str: ...
    @property
    def busy(self) -> bool:
        """Whether it answers a request."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


async def prepared(tree: Tree, check: Callable[[], Awaitable[None]]) -> None:
    """Starts a tree and checks it; one that fails, or is given up, is stopped."""
    await tree.start()
    try:
        await check()
    except BaseException:
        await tree.stop()
        raise


async def retired(tree: Tree, settings: Settings, clock: Clock) -> None:
    """Stops a tree that gets no more requests, when its last one has ended or has had its time."""
    if not await until_idle(lambda: tree.busy, clock, settings.request_timeout + PATIENCE):
        log.warning("%s is stopped while it answers", tree.name)
    await tree.stop()


async def abandoned(loads: Collection[asyncio.Task[Any]]) -> None:
    """Waits for the end of what was cancelled, but not for what nothing can stop: a thread that loads a model."""
    if loads:
        await asyncio.wait(loads, timeout=LAST_MOMENT)


def why(what: str, error: Exception) -> str:
    """Why `what` did not start: a user's mistake in its own words, for who can mend it; anything else is in the log."""
    if isinstance(error, MlpatternsError):
        return str(error)
    log.error("%s did not start", what, exc_info=error)
    return "its start failed, and the log says how"
