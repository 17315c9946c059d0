"""The open loop: requests go out when they are planned, whatever the answers do."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

from mlpatterns.load.alarm import Alarm
from mlpatterns.load.connection import Shot
from mlpatterns.load.histogram import Histogram
from mlpatterns.load.pool import Pool
from mlpatterns.load.schedule import Phase
from mlpatterns.load.tally import Window
from mlpatterns.load.target import Origin, Target

__all__ = ["Engine"]

BURST = 64  # requests that are sent before answers are read again, when the generator is behind its plan
SWEEP = 0.02  # seconds between two looks for requests whose time is up
LATE = "no answer within the timeout"


class Engine:
    """Runs one load, once.

    Args:
        targets: sent one after the other, and over again.
        phases: when.
        pools: connections to each origin of the targets.
        timeout: seconds from the planned time after which a request has failed.

    Attributes:
        windows: what came of it so far.
        late: how far behind its planned time each request reached a connection's queue: the generator's own lateness.
        began: when the first request was planned, by time.monotonic.
    """

    def __init__(
        self, targets: Sequence[Target], phases: Sequence[Phase], pools: Mapping[Origin, Pool], timeout: float
    ) -> None:
        self._wires = itertools.cycle(
            [(target.wire(), target.method == "HEAD", len(target.body), pools[target.origin]) for target in targets]
        )
        self._plan = _planned(phases)
        self._timeout = timeout
        self.windows: list[Window] = []
        self.late = Histogram()
        self.began = 0.0
        self._flying: deque[Shot] = deque()  # in the order of their planned times, and so of their timeouts
        self._outstanding = 0
        self._finished = asyncio.Event()
        self._next: tuple[float, int, int] | None = next(self._plan)

    @property
    def outstanding(self) -> int:
        """Requests that were sent and have no outcome yet."""
        return self._outstanding

    async def run(self) -> None:
        """Returns when every request has an outcome; a cancellation ends it at once, and what was counted stays."""
        self._loop = asyncio.get_running_loop()
        self.began = monotonic()
        self._alarm = Alarm(self._loop, self._tick)
        self._sweeper = self._loop.call_later(SWEEP, self._sweep)
        try:
            self._tick()
            await self._finished.wait()
        finally:
            self.stop()
            self._alarm.close()
            self._sweeper.cancel()

    def stop(self) -> None:
        """No request is sent from now on; `run` returns when those that were have their outcome."""
        self._next = None
        self._settle()

    def _tick(self) -> None:
        """Sends what is due."""
        for _ in range(BURST):
            if self._next is None:
                self._settle()
                return
            offset, phase, second = self._next
            now = monotonic()
            planned = self.began + offset
            if planned > now:
                self._alarm.set(planned)
                return
            window = self._window(phase, second, offset)
            window.sent = now
            self._send(planned, window)
            self.late.record(now - planned)
            self._next = next(self._plan, None)
        self._loop.call_soon(self._tick)

    def _window(self, phase: int, second: int, offset: float) -> Window:
        if not self.windows or (self.windows[-1].second, self.windows[-1].phase) != (second, phase):
            self.windows.append(Window(phase, second, offset))
        return self.windows[-1]

    def _send(self, planned: float, window: Window) -> None:
        wire, head, size, pool = next(self._wires)
        shot = Shot(wire, head, planned, window)
        window.planned += 1
        window.bytes_out += size
        self._outstanding += 1
        self._flying.append(shot)
        pool.submit(shot)

    # Ledger of the pools

    def answered(self, shot: Shot, status: int, received: int) -> None:
        now = monotonic()
        shot.window.answered(status, now - shot.planned, received, now)
        self._outstanding -= 1
        self._settle()

    def failed(self, shot: Shot, why: str) -> None:
        now = monotonic()
        shot.window.failed(why, now - shot.planned, now)
        self._outstanding -= 1
        self._settle()

    def _settle(self) -> None:
        if self._next is None and self._outstanding == 0:
            self._finished.set()

    def _sweep(self) -> None:
        """Fails requests whose time is up, and forgets those that are done."""
        now = monotonic()
        while self._flying and (self._flying[0].done or now - self._flying[0].planned >= self._timeout):
            shot = self._flying.popleft()
            if not shot.done:
                shot.done = True
                if shot.connection is not None:
                    shot.connection.abort()
                self.failed(shot, LATE)
        self._sweeper = self._loop.call_later(SWEEP, self._sweep)


def _planned(phases: Sequence[Phase]) -> Iterator[tuple[float, int, int]]:
    """Of each request: seconds from the beginning, the phase, and the second of the phase."""
    begin = 0.0
    for number, phase in enumerate(phases):
        for index in range(phase.requests):
            offset = index / phase.rate
            yield begin + offset, number, int(offset)
        begin += phase.seconds
