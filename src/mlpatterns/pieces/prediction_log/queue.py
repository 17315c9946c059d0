"""The queue of records: it is bounded, never slows a request, and a task writes it in groups."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

from msgspec import Struct

from mlpatterns.interfaces import MetricSeries
from mlpatterns.metadata import Array
from mlpatterns.pieces.prediction_log.records import EndedPrediction, RecordOptions, Records, arm_of
from mlpatterns.predictor import Runtime
from mlpatterns.stores.log import LogSink
from mlpatterns.stores.log_codec import Line

__all__ = ["LogQueue", "LogStats"]

log = logging.getLogger("mlpatterns")

GATHER = 0.25  # seconds that records wait for others: a kill loses at most twice that time, and the current write
GROUP = 1000  # records written at once
SOON = 4 * 2**20  # bytes from which the queue is written without waiting for more
RETRY_FIRST, RETRY_MOST = 0.25, 5.0  # seconds until a sink that failed is tried again
FLUSH_SECONDS = 5.0  # the time limit of the last write
OVERHEAD = 1024  # bytes of a record without its tensors, about
SMALL = OVERHEAD + 2048  # bytes up to which a record is encoded at once: keeping its tensors for a thread costs more

Waiting = tuple[Line | EndedPrediction, int, str | None]  # the item, its size in bytes, and the arm of its exposure


class LogStats(Struct, frozen=True):
    """The counts of a log in this worker.

    Attributes:
        waiting: records that wait to be written.
        errors: writes that failed; they are repeated.
    """

    sink: str
    records: int
    waiting: int
    dropped: int
    errors: int
    trouble: str


class LogQueue:
    """Takes predictions that have ended, and writes their records in order.

    Records that do not fit are dropped and counted. If the sink fails, the write is repeated until it succeeds.

    Args:
        writing: makes the records.
        max_records, max_bytes: limits on the records that wait.
        shown: the name of the sink in log and health texts.

    Attributes:
        trouble: what is wrong with the sink, without secrets; empty while the sink works.
    """

    def __init__(
        self, sink: LogSink, writing: RecordOptions, runtime: Runtime, *, max_records: int, max_bytes: int, shown: str
    ) -> None:
        self.trouble, self._stopping = "", False
        self._sink, self._writing, self._runtime = sink, writing, runtime
        self._max_records, self._max_bytes, self._shown = max_records, max_bytes, shown
        self._waiting: deque[Waiting] = deque()
        self._bytes = self._lost = 0
        self._wake, self._hurry, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        counter, path = runtime.metrics.counter, runtime.path
        self._written = counter("mlpatterns_log_records_total", "Records that a log wrote.", piece=path)
        self._errors = counter("mlpatterns_log_errors_total", "Writes that a log's sink failed.", piece=path)
        self._dropped("")  # so that the metric is 0, not absent, before the first drop
        runtime.keep("write the log", self._write)

    def put(self, ended: EndedPrediction) -> None:
        """Queues one prediction, or drops it; never waits."""
        size = OVERHEAD + _bytes(ended)
        waiting, total = self._waiting, self._bytes + size
        arm = arm_of(ended.notes) if ended.notes else None
        if len(waiting) >= self._max_records or total > self._max_bytes:
            self._drop([arm])
            return
        if not waiting:
            self._wake.set()
            self._idle.clear()
        self._bytes = total
        waiting.append((self._writing.line(ended) if size <= SMALL else ended, size, arm))
        if total > SOON and not self.trouble:
            self._hurry.set()

    @property
    def figures(self) -> LogStats:
        return LogStats(
            self._shown, int(self._written.value), len(self._waiting), self._lost, int(self._errors.value), self.trouble
        )

    async def flush(self, seconds: float) -> bool:
        """Writes all waiting records now; False if `seconds` were too short."""
        self._hurry.set()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Writes the waiting records within a time limit; the rest counts as dropped."""
        self._stopping = True
        await self.flush(FLUSH_SECONDS)
        if self._waiting:
            log.warning("%d records of %r were not written to %s", len(self._waiting), self._runtime.path, self._shown)
            self._drop([arm for _, _, arm in self._waiting])
            self._waiting.clear()

    # ---- writing ----

    async def _write(self) -> None:
        delay = RETRY_FIRST
        while True:
            await self._wake.wait()
            await self._gather(GATHER if not self.trouble else delay)
            group = list(islice(self._waiting, GROUP))
            try:
                await self._sink.write(Records([each for each, _, _ in group], self._writing.line))
            except Exception as error:
                self._failed(error)
                if self._stopping:
                    self._idle.set()
                    return
                delay = min(2 * delay, RETRY_MOST)
                continue
            delay = RETRY_FIRST
            self._done(group)

    async def _gather(self, seconds: float) -> None:
        """Waits for more records, unless there are many or a flush was requested."""
        if self._hurry.is_set() and (self._stopping or not self.trouble):
            return
        self._hurry.clear()
        with suppress(TimeoutError):  # a timer costs less than two tasks to wait for
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    def _done(self, group: Sequence[Waiting]) -> None:
        for _, size, _ in group:
            self._waiting.popleft()
            self._bytes -= size
        self._written.inc(len(group))
        self._writing.look_again()
        if self.trouble:
            log.warning("the log %s accepts records again", self._shown)
            self.trouble = ""
        if not self._waiting:
            self._wake.clear()
            self._hurry.clear()
            self._idle.set()

    def _failed(self, error: Exception) -> None:
        self._errors.inc()
        if not self.trouble:
            self.trouble = f"the log of {self._runtime.path} accepts no records now"
            log.warning("the log %s fails (%s); trying again until it accepts the waiting records", self._shown, error)

    def _drop(self, arms: Sequence[str | None]) -> None:
        self._lost += len(arms)
        for arm in arms:
            self._dropped(arm or "").inc()

    def _dropped(self, arm: str) -> MetricSeries:
        return self._runtime.metrics.counter(
            "mlpatterns_log_dropped_total", "Records that a log dropped.", piece=self._runtime.path, arm=arm
        )


def _bytes(ended: EndedPrediction) -> int:
    size = 0
    for value in ended.request.inputs.values():
        size += _text_bytes(value) if value.dtype.hasobject else value.nbytes
    if ended.response is not None:
        for value in ended.response.outputs.values():
            size += _text_bytes(value) if value.dtype.hasobject else value.nbytes
    return size


def _text_bytes(value: Array) -> int:
    return value.nbytes + sum(len(item) for item in value.flat if isinstance(item, bytes | str))
