"""Replaces one running tree of predictors by another, for hot swaps and for the model repository. The new tree starts
and is checked while the old one still answers. Then the new tree gets the requests, and the old one stops when its last
request has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

from mlpatterns.errors import MlpatternsError
from mlpatterns.interfaces import Clock
from mlpatterns.runtime.tasks import until_idle
from mlpatterns.settings import Settings

__all__ = ["Tree", "start_checked", "start_failure", "stop_when_idle", "wait_for_cancelled"]

log = logging.getLogger("mlpatterns")

PATIENCE = 5.0  # seconds after the time limit of requests; then a tree is stopped even if it is busy
LAST_MOMENT = 0.5  # seconds that cancelled loads get to end


class Tree(Protocol):
    """Predictors that start, answer and stop together."""

    @property
    def name(self) -> str: ...
    @property
    def busy(self) -> bool:
        """Whether a request is in progress."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


async def start_checked(tree: Tree, check: Callable[[], Awaitable[None]]) -> None:
    """Starts a tree and checks it. If the check fails or is cancelled, the tree is stopped."""
    await tree.start()
    try:
        await check()
    except BaseException:
        await tree.stop()
        raise


async def stop_when_idle(tree: Tree, settings: Settings, clock: Clock) -> None:
    """Stops a tree that gets no more requests: when its last request ends, or `PATIENCE` s after the time limit."""
    if not await until_idle(lambda: tree.busy, clock, settings.request_timeout + PATIENCE):
        log.warning("stopping %s although it still answers requests", tree.name)
    await tree.stop()


async def wait_for_cancelled(loads: Collection[asyncio.Task[Any]]) -> None:
    """Waits at most `LAST_MOMENT` seconds for cancelled loads to end: a thread that loads a model cannot be stopped."""
    if loads:
        await asyncio.wait(loads, timeout=LAST_MOMENT)


def start_failure(what: str, error: Exception) -> str:
    """The reason why `what` did not start: the text of an error of this library. Any other error is only logged."""
    if isinstance(error, MlpatternsError):
        return str(error)
    log.error("%s did not start", what, exc_info=error)
    return "its start failed; the log has the error"
