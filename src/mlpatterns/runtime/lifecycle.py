"""Lifecycle: only `running(root)` starts and stops predictors. It gives each its runtime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mlpatterns.interfaces import Clock, Metrics
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.predictor import Predictor
from mlpatterns.runtime.app import AppRuntime
from mlpatterns.runtime.tree import Roots
from mlpatterns.settings import Settings, load_settings

__all__ = ["SystemClock", "running"]


class SystemClock:
    """The machine's time."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)


@asynccontextmanager
async def running(
    *roots: Predictor,
    named: Roots = (),
    settings: Settings | None = None,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[AppRuntime]:
    """Starts all predictors below `roots`, leaves first and each once; stops them in reverse.

    If one fails to start, those already started are stopped and its error is raised. Programs do not run here.

    Args:
        roots: the predictors to start, with all predictors below them. The path of each is its name.
        named: more roots, each with its path.
        settings: by default read from file and environment.
        clock: by default the time of this machine; tests pass a `FakeClock`.
        metrics: the registry that the predictors update; by default a new one.
    """
    runtime = AppRuntime(settings or load_settings().settings, clock or SystemClock(), metrics or ProcessMetrics())
    try:
        await runtime.open()
        await runtime.start_tree([*[(root.name, root) for root in roots], *named])
        del roots, named  # or this frame would keep unloaded predictors alive
        yield runtime
    finally:
        await runtime.close()
