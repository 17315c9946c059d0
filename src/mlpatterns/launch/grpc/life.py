"""How long a connection may say nothing: ten seconds before it has greeted, and then as long as it answers pings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Life"]

GREETING = 10.0  # seconds for the preface, as for a request head over HTTP
KEEP_ALIVE = 60.0  # seconds of silence after which a client is asked whether it is still there
PATIENCE = 20.0  # seconds for its answer


class Life:
    """The clock of one connection.

    Args:
        ping: asks the client.
        end: ends the connection.
    """

    __slots__ = ("_asked", "_end", "_greeted", "_loop", "_ping", "_timer", "heard")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        greeted: Callable[[], bool],
        ping: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._loop, self._greeted, self._ping, self._end = loop, greeted, ping, end
        self.heard = loop.time()  # when something came last; whoever reads sets it
        self._asked = False
        self._timer = loop.call_later(GREETING, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        silence = self._loop.time() - self.heard
        if not self._greeted() or (self._asked and silence >= PATIENCE):
            self._end()
        elif silence >= KEEP_ALIVE:
            self._asked = True
            self._ping()
            self._timer = self._loop.call_later(PATIENCE, self._look)
        else:
            self._asked = False
            self._timer = self._loop.call_later(KEEP_ALIVE - silence, self._look)
