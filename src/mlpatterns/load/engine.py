"""The open loop: it sends requests at their planned times, even if answers are late."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

from mlpatterns.load.alarm import Alarm
from mlpatterns.load.connection import PlannedRequest
from mlpatterns.load.histogram import Histogram
from mlpatterns.load.pool import Pool
from mlpatterns.load.schedule import Phase
from mlpatterns.load.tally import TallyWindow
from mlpatterns.load.target import Origin, Target

__all__ = ["Engine"]

BURST = 64  # when the generator is late: requests to send before it reads answers again
SWEEP = 0.02  # seconds between checks for requests that have timed out
LATE = "no answer within the timeout"


class Engine:
    """Runs one load, once.

    Args:
        targets: the requests, sent in order and repeated.
        phases: the plan of rates and times.
        pools: the connection pool of each origin.
        timeout: seconds from the planned time after which a request has failed.

    Attributes:
        windows: the results so far.
        late: the generator's own delay: for each request, the time from its planned time until it reached the pool.
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
        self.windows: list[TallyWindow] = []
        self.late = Histogram()
        self.began = 0.0
        self._flying: deque[PlannedRequest] = deque()  # ordered by planned time, and so also by timeout
        self._outstanding = 0
        self._finished = asyncio.Event()
        self._next: tuple[float, int, int] | None = next(self._plan)

    @property
    def outstanding(self) -> int:
        """The number of requests that were sent and have no outcome yet."""
        return self._outstanding

    async def run(self) -> None:
        """Sends all requests and waits for their outcomes. A cancellation ends it at once; the counts so far stay."""
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
        """Stops sending. `run` returns when all requests that were sent have an outcome."""
        self._next = None
        self._settle()

    def _tick(self) -> None:
        """Sends the requests that are due."""
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

    def _window(self, phase: int, second: int, offset: float) -> TallyWindow:
        if not self.windows or (self.windows[-1].second, self.windows[-1].phase) != (second, phase):
            self.windows.append(TallyWindow(phase, second, offset))
        return self.windows[-1]

    def _send(self, planned: float, window: TallyWindow) -> None:
        wire, head, size, pool = next(self._wires)
        request = PlannedRequest(wire, head, planned, window)
        window.planned += 1
        window.bytes_out += size
        self._outstanding += 1
        self._flying.append(request)
        pool.submit(request)

    # Methods of OutcomeListener

    def answered(self, request: PlannedRequest, status: int, received: int) -> None:
        now = monotonic()
        request.window.answered(status, now - request.planned, received, now)
        self._outstanding -= 1
        self._settle()

    def failed(self, request: PlannedRequest, why: str) -> None:
        now = monotonic()
        request.window.failed(why, now - request.planned, now)
        self._outstanding -= 1
        self._settle()

    def _settle(self) -> None:
        if self._next is None and self._outstanding == 0:
            self._finished.set()

    def _sweep(self) -> None:
        """Fails requests that have timed out, and removes requests that are done."""
        now = monotonic()
        while self._flying and (self._flying[0].done or now - self._flying[0].planned >= self._timeout):
            request = self._flying.popleft()
            if not request.done:
                request.done = True
                if request.connection is not None:
                    request.connection.abort()
                self.failed(request, LATE)
        self._sweeper = self._loop.call_later(SWEEP, self._sweep)


def _planned(phases: Sequence[Phase]) -> Iterator[tuple[float, int, int]]:
    """For each request: seconds from the start, the index of the phase, and the second of the phase."""
    begin = 0.0
    for number, phase in enumerate(phases):
        for index in range(phase.requests):
            offset = index / phase.rate
            yield begin + offset, number, int(offset)
        begin += phase.seconds
