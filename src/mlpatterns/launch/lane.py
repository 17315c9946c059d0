"""The lane in which requests have their turn.

All that come in one round of the event loop are read first and then answered in one callback, so that the processor has
the code of the one or of the other at hand; answered each as it was read, they were no faster than with a task each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mlpatterns.prompt import Standby

__all__ = ["Lane"]

Turn = Callable[[Standby], None]


class Lane:
    """The turns of all connections of one server.

    A turn is given the Standby in which it may begin, if that is ready, and raises nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._standby = Standby(loop)
        self._turns: list[Turn] = []

    def add(self, turn: Turn) -> None:
        if not self._turns:
            self._loop.call_soon(self._all)
        self._turns.append(turn)

    def _all(self) -> None:
        turns, self._turns = self._turns, []
        for turn in turns:
            turn(self._standby)
