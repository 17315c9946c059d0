"""The operations of a queue: a job's status and answer, its cancellation, the counts of the queue, dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from types import NoneType
from typing import Annotated, Any

from msgspec import Meta, Struct

from mlpatterns.errors import InternalError, NotFound, Unavailable
from mlpatterns.interfaces import Metrics
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import Caller, InferenceResponse, Operation
from mlpatterns.programs.job_options import JobOptions
from mlpatterns.stores.jobs import ENDED, Figures, Job, JobStore, SweepResult
from mlpatterns.tensors import DamagedData, best_labels, decode_response, one_or_all
from mlpatterns.user_code import call_user_code

__all__ = ["JobOperations", "QueueMetrics", "Show", "label_or_values"]

MARGIN = 0.25  # seconds of the request's time that a long poll reserves for its answer
REASONS = ("full", "too_large")

Show = Callable[[InferenceResponse, ModelMetadata], Any]


class JobQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The id of a job; `wait`: the seconds to wait for its end, within the time of the request."""

    id: str
    wait: Annotated[float, Meta(ge=0)] = 0.0


class JobId(Struct, frozen=True, forbid_unknown_fields=True):
    """The id of a job."""

    id: str


class JobView(Struct, frozen=True, omit_defaults=True):
    """A job as its caller sees it.

    Attributes:
        prediction: the answer; an empty text until the job is done.
        status: `queued`, `running`, `done`, `failed` or `cancelled`.
        error: why it failed.
    """

    prediction: Any
    status: str
    error: str = ""


class DeadLettersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of dead letters: at most `limit`, with ids greater than `after`."""

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class DeadLetter(Struct, frozen=True):
    """A job that failed too often, or was not done in time.

    Attributes:
        queued_at, failed_at: seconds since 1970.
    """

    id: str
    code: str
    error: str
    attempts: int
    principal: str | None
    queued_at: float
    failed_at: float


class DeadLetters(Struct, frozen=True):
    """Dead letters, by id."""

    dead: tuple[DeadLetter, ...]


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """The dead letters to queue again; by default all."""

    ids: tuple[str, ...] | None = None


class Replayed(Struct, frozen=True):
    """How many dead letters were queued again."""

    replayed: int


class JobOperations:
    """The operations of a queue.

    Attributes:
        described: the metadata of the model of its workers, once it is known.
    """

    def __init__(self, options: JobOptions, show: Show) -> None:
        self._options, self._show = options, show
        self.described: ModelMetadata | None = None
        self._jobs: JobStore
        self._queue = ""
        self.operations = (
            Operation("job/{id}", "query", "public", JobQuery, dict[str, JobView], self._tell),
            Operation("job/{id}/cancel", "command", "public", JobId, dict[str, JobView], self._cancel),
            Operation("queue", "query", "public", NoneType, Figures, self._figures),
            Operation("dead", "query", "token", DeadLettersQuery, DeadLetters, self._dead),
            Operation("dead/replay", "command", "token", Replay, Replayed, self._replay),
        )

    def open(self, jobs: JobStore, queue: str) -> None:
        """Connects the operations to the store, at the start."""
        self._jobs, self._queue, self.described = jobs, queue, None

    async def _tell(self, query: JobQuery, caller: Caller) -> dict[str, JobView]:
        """The status of a job, and its answer when it is done.

        Raises:
            NotFound: there is no such job, or it belongs to another principal.
        """
        job = await self._own(query.id, caller)
        seconds = min(query.wait, caller.deadline - monotonic() - MARGIN)
        if seconds > 0 and job.state not in ENDED:
            job = await self._jobs.wait(self._queue, query.id, seconds) or job
        return self._shown(job)

    async def _cancel(self, command: JobId, caller: Caller) -> dict[str, JobView]:
        """Cancels a job that has not ended; if it runs, its result is discarded.

        Raises:
            NotFound: there is no such job, or it belongs to another principal.
        """
        job = await self._own(command.id, caller)
        return self._shown(await self._jobs.cancel(self._queue, command.id, self._options.ttl) or job)

    async def _own(self, name: str, caller: Caller) -> Job:
        job = await self._jobs.get(self._queue, name)
        if job is None or job.principal != caller.principal:
            raise NotFound("there is no job with this id, or it has expired")
        return job

    def _shown(self, job: Job) -> dict[str, JobView]:
        if self.described is None:
            raise Unavailable("the model of this queue is not known yet", retry_after=1)
        return {job.id: job_view(job, self._show, self.described)}

    async def _figures(self, _: None, caller: Caller) -> Figures:
        """Returns the number of jobs, by state."""
        return await self._jobs.figures(self._queue)

    async def _dead(self, query: DeadLettersQuery, caller: Caller) -> DeadLetters:
        """Lists dead letters: jobs that failed too often, or were not done within their time."""
        return dead_letters(await self._jobs.dead(self._queue, query.after, query.limit))

    async def _replay(self, command: Replay, caller: Caller) -> Replayed:
        """Queues dead letters again, as if they had never failed."""
        return Replayed(await self._jobs.replay(self._queue, command.ids, self._options.job_timeout))


class QueueMetrics:
    """The metrics of a queue; every process reports the same numbers of jobs by state, because they share the queue."""

    def __init__(self, metrics: Metrics, piece: str) -> None:
        self.queued = metrics.counter("mlpatterns_jobs_queued_total", "Jobs that were queued.", piece=piece)
        refused, what = "mlpatterns_jobs_refused_total", "Jobs that were not queued."
        self.refused = {reason: metrics.counter(refused, what, piece=piece, reason=reason) for reason in REASONS}
        self._lapsed = metrics.counter("mlpatterns_jobs_lapsed_total", "Jobs whose worker ended.", piece=piece)
        jobs, what = "mlpatterns_jobs", "Jobs of a queue that are queued or running, and dead letters."
        self._jobs = {
            state: metrics.gauge(jobs, what, workers="newest", piece=piece, state=state)
            for state in ("queued", "running", "dead")
        }
        self._oldest = metrics.gauge(
            "mlpatterns_jobs_oldest_seconds", "Age of the oldest queued job.", workers="newest", piece=piece
        )

    def swept(self, swept: SweepResult) -> None:
        self._lapsed.inc(swept.lapsed)

    def publish(self, figures: Figures) -> None:
        for state, gauge in self._jobs.items():
            gauge.set(getattr(figures, state))
        self._oldest.set(figures.oldest)


def job_view(job: Job, show: Show, described: ModelMetadata) -> JobView:
    """A job as its caller sees it.

    Raises:
        InternalError: another version of mlpatterns wrote the answer.
        Exception: the error of `show`.
    """
    if job.state != "done":
        status = "failed" if job.state == "dead" else job.state
        return JobView("", status, job.error if status == "failed" else "")
    try:
        return JobView(call_user_code(show, decode_response(job.response), described), "done")
    except DamagedData:
        raise InternalError("another version of mlpatterns wrote the answer") from None


def label_or_values(response: InferenceResponse, described: ModelMetadata) -> Any:
    """The label of each row if the model has labels and its primary output is numeric; otherwise that output."""
    values = response.outputs[described.primary_output]
    if described.labels and values.dtype.kind in "fiu":
        return best_labels(values, described.labels, described.threshold)
    return one_or_all(values)


def dead_letters(jobs: Sequence[Job]) -> DeadLetters:
    """The view of dead letters for an operator."""
    return DeadLetters(
        tuple(
            DeadLetter(job.id, job.code, job.error, job.attempts, job.principal, job.queued_at, job.changed_at)
            for job in jobs
        )
    )
