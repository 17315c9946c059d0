"""The worker of a JobQueue: claims jobs, runs the model, and stores the results."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from mlpatterns.errors import NotStarted, Unavailable
from mlpatterns.interfaces import BUCKETS, Metrics
from mlpatterns.predictor import Predictor, Runtime
from mlpatterns.programs.job_attempt import attempt
from mlpatterns.programs.job_options import JobOptions
from mlpatterns.stores.jobs import Claim, ClaimRequest, ClaimResult, Fence, Finish, JobStore
from mlpatterns.tensors import Unstorable, encode_description

__all__ = ["JobWorker"]

log = logging.getLogger("mlpatterns")

AHEAD = 0.02  # seconds of work that are claimed before a slot is free
MOST_AHEAD = 256
MOST_HELD = 1024  # jobs that are claimed, running or being written
SMOOTHING = 0.1  # weight of the newest job in the mean time of a job
LOOK_EVERY = 1.0  # seconds between checks for jobs if the store reports no change
DESCRIBE_EVERY = 4.0  # seconds between descriptions, which show queueing processes that a worker exists
GRACE = 2.0  # seconds that running jobs may take to end when the worker is told to stop
STORE_AGAIN = 1.0  # seconds until the worker claims jobs again after the store was down
AGAIN = 0.2  # seconds until a write that failed, or a model that is not ready, is tried again
OUTCOMES = ("done", "failed", "dead", "retried", "returned", "fenced")
WAITS = (*BUCKETS, 60.0, 300.0, 1800.0)


@dataclass(frozen=True)
class JobWorker:
    """The program of a JobQueue; there may be several, each in a separate process.

    Args:
        model: runs the jobs; the worker starts it.
        options: the options of the JobQueue.
        store: the URL of the JobStore; by default the setting `jobs`.
        queue: the name of the queue in the store; by default the path of the piece.
    """

    model: Predictor
    options: JobOptions
    store: str | None
    queue: str | None
    name: str = "worker"
    exclusive: bool = False

    async def run(self, runtime: Runtime) -> None:
        url = self.store or runtime.settings.jobs_url
        store = await runtime.store(JobStore, url)  # type: ignore[type-abstract]
        await runtime.start_tree(self.model)
        await WorkerRun(self, runtime, store, self.queue or runtime.path).run()


class WorkerRun:
    """One run of a worker."""

    def __init__(self, worker: JobWorker, runtime: Runtime, store: JobStore, queue: str) -> None:
        self._model, self._options = worker.model, worker.options
        self._lease = worker.options.lease or runtime.settings.lease_seconds
        self._runtime, self._clock, self._store, self._queue = runtime, runtime.clock, store, queue
        self._ready: deque[Claim] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: dict[Fence, asyncio.Task[None]] = {}
        self._freed = asyncio.Event()
        self._stopping = self._store_down = False
        self._mean = AHEAD  # the mean time of a job, in seconds
        self._counts = WorkerMetrics(runtime.metrics, runtime.path)

    async def run(self) -> None:
        describing = asyncio.create_task(self._describe(), name="describe the model")
        try:
            await self._claim_on()
        finally:
            describing.cancel()
            await self._stop()

    # ---- claiming ----

    async def _claim_on(self) -> None:
        while True:
            seen = self._store.changes.count
            self._freed.clear()
            wait: float | None = None
            if self._is_ready() and (most := self._room()) > 0:
                claimed = await self._claimed(most)
                self._ready.extend(claimed.claims)
                self._start_ready()
                if claimed.claims:
                    await asyncio.sleep(0)
                    continue
                wait = claimed.next_due
                if wait is not None and wait <= 0 and self._tasks:
                    await self._freed.wait()  # the next job is claimed alone, when this worker holds none
                    continue
                await self._store.changes.wait(seen, LOOK_EVERY if wait is None else min(LOOK_EVERY, max(wait, 0.001)))
            elif self._tasks:
                await self._freed.wait()
            else:
                await self._clock.sleep(AGAIN)  # the model is not ready yet

    async def _claimed(self, most: int) -> ClaimResult:
        """Claims up to `most` jobs; none while the store is down, during which running jobs continue."""
        try:
            claimed = await self._store.claim(self._queue, self._claim_request(most))
        except Unavailable as error:
            if not self._store_down:
                self._store_down = True
                log.warning("the worker of %s waits for its store: %s", self._queue, error)
            await self._clock.sleep(STORE_AGAIN)
            return ClaimResult((), 0.0 if not self._tasks else None)
        self._store_down = False
        return claimed

    def _claim_request(self, most: int) -> ClaimRequest:
        return ClaimRequest(most, self._lease, self._options.max_run + self._lease, not self._tasks, self._lost)

    def _room(self) -> int:
        """How many jobs to claim: one for each free slot and for each that will be free within AHEAD, but never so many
        that another worker idles.
        """
        ahead = min(MOST_AHEAD, int(self._options.concurrency * AHEAD / max(self._mean, 1e-6)))
        return min(
            self._options.concurrency + ahead - self._running - len(self._ready),
            MOST_HELD - len(self._tasks) - len(self._ready),
        )

    def _is_ready(self) -> bool:
        with suppress(NotStarted):
            return self._model.metadata is not None
        return False

    def _lost(self, claim: Claim) -> None:
        """Drops a claim whose lease another worker has, or whose job was cancelled: its result would be refused."""
        if claim in self._ready:
            self._ready.remove(claim)
            self._counts.outcomes["fenced"].inc()
        elif (task := self._asking.pop(claim.fence, None)) is not None:
            task.cancel()

    def _start_ready(self) -> None:
        while self._ready and self._running < self._options.concurrency and not self._stopping:
            claim = self._ready.popleft()
            self._running += 1
            self._counts.running.inc()
            task = asyncio.create_task(self._job(claim), name=f"job {claim.id}")
            self._asking[claim.fence] = task
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a job of %s was not finished; its lease will end", self._queue, exc_info=error)

    # ---- one job ----

    async def _job(self, claim: Claim) -> None:
        """Runs one job: calls the model, frees the slot, and stores the result."""
        began = self._clock.monotonic()
        self._counts.waited.observe(claim.waited)
        finish: Finish | None = None
        try:
            finish = await attempt(claim, self._model, self._options, self._clock)
        except asyncio.CancelledError:
            if claim.fence in self._asking:  # the worker stops, so another may run the job
                finish = Finish(claim, "queued")
        finally:
            self._asking.pop(claim.fence, None)
            seconds = self._clock.monotonic() - began
            self._mean += SMOOTHING * (seconds - self._mean)
            self._counts.ran.observe(seconds)
            self._running -= 1
            self._counts.running.inc(-1.0)
            self._start_ready()
            self._freed.set()
        await self._write(finish)

    async def _write(self, finish: Finish | None) -> None:
        if finish is None:
            self._counts.outcomes["fenced"].inc()
            return
        until = self._clock.monotonic() + GRACE
        while True:
            try:
                counted = await self._store.finish(self._queue, finish)
                break
            except Unavailable:
                if self._stopping and self._clock.monotonic() > until:
                    raise
                await self._clock.sleep(AGAIN)
        self._counts.outcomes[_outcome(finish) if counted else "fenced"].inc()

    # ---- the end, and the model's description ----

    async def _stop(self) -> None:
        """Returns claimed jobs to the queue. Running jobs have GRACE seconds to end, and are then returned too."""
        self._stopping = True
        while self._ready:
            task = asyncio.create_task(self._write(Finish(self._ready.popleft(), "queued")))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        until = self._clock.monotonic() + GRACE
        while self._tasks:
            left = until - self._clock.monotonic()
            if left <= 0:
                for asking in self._asking.values():
                    asking.cancel()
            with suppress(asyncio.CancelledError):  # told to stop again while it stops
                await asyncio.wait(self._tasks, timeout=left if left > 0 else None)

    async def _describe(self) -> None:
        """Reports the metadata of the model to the queue every few seconds, since queueing processes do not load it."""
        while True:
            try:
                await self._store.describe(self._queue, encode_description(self._model.metadata))
            except (NotStarted, Unavailable):
                await self._clock.sleep(AGAIN)
                continue
            except Unstorable as error:
                log.error("the metadata of the model of %s cannot be stored: %s", self._queue, error)
            await self._clock.sleep(DESCRIBE_EVERY)


class WorkerMetrics:
    """The metrics of a worker."""

    def __init__(self, metrics: Metrics, piece: str) -> None:
        name, what = "mlpatterns_job_attempts_total", "Attempts of jobs by what became of them."
        self.outcomes = {outcome: metrics.counter(name, what, piece=piece, outcome=outcome) for outcome in OUTCOMES}
        self.running = metrics.gauge("mlpatterns_jobs_at_work", "Jobs that a worker works on.", piece=piece)
        self.waited = metrics.histogram(
            "mlpatterns_job_wait_seconds", "From queueing to a claim.", bounds=WAITS, piece=piece
        )
        self.ran = metrics.histogram("mlpatterns_job_run_seconds", "Of an attempt.", bounds=WAITS, piece=piece)


def _outcome(finish: Finish) -> str:
    if finish.state != "queued":
        return finish.state
    return "retried" if finish.code else "returned"
