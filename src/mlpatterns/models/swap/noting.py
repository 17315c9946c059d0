"""Which version came to serve, written for other processes, for those that start later, and for the way back."""

from __future__ import annotations

import logging

from mlpatterns.errors import PredictionError
from mlpatterns.interfaces import Shared
from mlpatterns.models.swap.state import SwapDocument
from mlpatterns.models.swap.swapper import Generation
from mlpatterns.predictor import Runtime

__all__ = ["Noting"]

log = logging.getLogger("mlpatterns")

PAUSE = 1.0  # seconds until a store that did not answer is asked again


class Noting:
    """Notes what came to serve in the name of an alias; later, where the control store does not answer.

    Args:
        follows: the reference that is followed.
    """

    def __init__(self, name: str, follows: str, shared: Shared[SwapDocument], runtime: Runtime) -> None:
        self._name, self._follows, self._shared, self._runtime = name, follows, shared, runtime
        self._newest: Generation | None = None

    async def note(self, served: Generation) -> None:
        self._newest = served
        try:
            await self._write(served)
        except PredictionError as error:  # it serves; only others do not know of it yet
            log.warning("%s: version %d could not be noted as served: %s", self._name, served.version, error)
            self._runtime.begin("note what serves", self._later, most=1)

    async def _later(self) -> None:
        noted = None
        while noted is not self._newest and self._newest is not None:
            await self._runtime.clock.sleep(PAUSE)
            noted = self._newest
            try:
                await self._write(noted)
            except PredictionError:  # health says for how long
                noted = None

    async def _write(self, served: Generation) -> None:
        version, contract = served.version, served.contract
        await self._shared.change(lambda now: now.with_alias_served(version, self._follows, contract), by="alias")
