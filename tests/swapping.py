"""A running HotSwap whose clock the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from core import CALLER
from mlpatterns import HotSwap
from mlpatterns.predictor import Caller
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.testing import FakeClock, request
from releases import NAME, Releases

__all__ = ["Bench", "X", "bench", "run"]

X = np.array([[3.0]], np.float32)
SLICE = 0.3  # seconds of the fake clock, more than the interval between two looks at the registry
PATIENCE = 60.0  # seconds for one test; only a broken test takes that long


class Bench:
    """A running HotSwap, whose clock advances only when the test advances it."""

    def __init__(self, swap: HotSwap, clock: FakeClock, runtime: AppRuntime) -> None:
        self.swap, self.clock, self.runtime = swap, clock, runtime

    async def looked(self, slices: int = 1) -> None:
        """Advances the clock until the HotSwap has checked the registry and finished the resulting work."""
        for _ in range(slices):
            await self.clock.advance(SLICE)
            while self._busy or not self.clock.sleepers:
                await asyncio.sleep(0.001)

    @property
    def _busy(self) -> bool:
        """Whether the HotSwap checks the registry, loads a model or executes a command, or is about to."""
        return self.swap._following().busy

    async def answer(self) -> tuple[str, float]:
        """The version that answered, and its answer."""
        response = await self.swap.predict(request({"x": X}))
        return response.model_version, float(response.outputs["y"][0, 0])

    async def command(self, name: str, told: Any = None, caller: Caller = CALLER) -> Any:
        """The result of the command `name`."""
        (found,) = [each for each in self.swap.operations if each.name == name and each.kind == "command"]
        return await found.handler(told, caller)

    async def state(self) -> Any:
        return await self.swap.operations[0].handler(None, CALLER)

    def metric(self, name: str, **labels: str) -> float:
        return sum(sample.values[0] for sample in self.runtime.metrics.samples()  # type: ignore[attr-defined]
                   if sample.family.name == name and labels.items() <= dict(sample.labels).items())  # fmt: skip


@asynccontextmanager
async def bench(
    releases: Releases, swap: HotSwap | None = None, settings: Settings | None = None
) -> AsyncIterator[Bench]:
    swap, clock = swap or HotSwap(NAME), FakeClock()
    async with running(swap, settings=settings or releases.settings, clock=clock) as runtime:
        yield Bench(swap, clock, runtime)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), PATIENCE))
