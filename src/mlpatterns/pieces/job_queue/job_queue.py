"""JobQueue: the caller gets a job id now, and the answer when a worker has made it."""

from __future__ import annotations

import hashlib

import numpy as np
from msgspec.structs import replace

from mlpatterns.base import Wrapper
from mlpatterns.context import Context
from mlpatterns.errors import InvalidInput, NotStarted, Overloaded, TooLarge, Unavailable
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.pieces import piece
from mlpatterns.pieces.job_queue.operations import JobOperations, QueueMetrics, Show, label_or_values
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.programs.job_options import JobOptions
from mlpatterns.programs.job_worker import JobWorker
from mlpatterns.stores.jobs import JobStore, NewJob
from mlpatterns.tensors import DamagedData, Unstorable, decode_description, encode_request, validate

__all__ = ["JobQueue"]

KEY = "idempotency-key"
MOST_KEY = 255
JOB_ID = TensorSpec("job_id", "BYTES", (-1,))
SWEEP_EVERY = 1.0  # seconds between two sweeps of the queue
WORKER_GONE = 10.0  # seconds without a report of any worker
NOT_DESCRIBED = "no worker of its queue has reported the metadata of the model yet"


@piece(lambda inner, _: JobQueue(inner), answers_later=True)
class JobQueue(Wrapper):
    """Queues each request of `predictor` and answers ``accepted`` with the id of the job, which is the prediction id.

    A job survives the end of this process from the moment the caller has its id. A worker, which is a program, runs the
    job at least once and stores its answer at most once. Errors of the request, such as INVALID, fail the job
    immediately. OVERLOADED and RATE_LIMITED put it back into the queue. UNAVAILABLE is tried again with back-off until
    the time of the job is over. INTERNAL, DEADLINE and the end of the worker count as failed attempts; after
    `max_attempts` the job is a dead letter, which an operator may replay. The workers report the metadata of the model,
    so this process does not load the model. A probe gets an id but is not queued.

    With the header `idempotency-key`, an equal request of the same principal gets the same job, as long as the job is
    kept; a different request with this key is a CONFLICT. Only the principal of a job can see it.

    Args:
        predictor: runs the jobs, in the process of the worker.
        store: the URL of a JobStore; by default the setting `jobs`.
        show: makes the `prediction` of `job/{id}` from the response and the metadata of the model; by default the label
            of each row, or the values if there are no labels.
        queue: the name of the queue in the store; by default the path of this piece.
        concurrency: the number of jobs that one worker runs at once.
        lease: the seconds without a renewal after which another worker gets a job; by default the setting
            `lease_seconds`.
        max_run: the seconds that one attempt may take.
        job_timeout: the seconds from queueing until a job must be done.
        max_attempts: the number of failed attempts after which a job is a dead letter.
        backoff, backoff_most: the seconds before the second attempt, which double for each further attempt, and their
            maximum.
        ttl, dead_ttl: the seconds for which an ended job and a dead letter are kept.
        max_queued, max_queued_bytes: limits on the jobs that have not ended; further jobs are refused as OVERLOADED.
        max_payload_bytes: the maximum size of one request in bytes; a larger request is TOO_LARGE.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: an option is out of its range.
    """

    apart = ("inner",)
    depends_on_caller = True
    reads_headers = (KEY,)

    def __init__(
        self,
        predictor: Predictor,
        *,
        store: str | None = None,
        show: Show = label_or_values,
        queue: str | None = None,
        concurrency: int = 2,
        lease: float | None = None,
        max_run: float = 300.0,
        job_timeout: float = 3600.0,
        max_attempts: int = 3,
        backoff: float = 1.0,
        backoff_most: float = 60.0,
        ttl: float = 3600.0,
        dead_ttl: float = 7 * 86_400.0,
        max_queued: int = 100_000,
        max_queued_bytes: int = 2**30,
        max_payload_bytes: int = 16 * 2**20,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        self.store, self.show, self.queue = store, show, queue
        self.options = JobOptions(
            concurrency, lease, max_run, job_timeout, max_attempts, backoff, backoff_most, ttl, dead_ttl, max_queued,
            max_queued_bytes, max_payload_bytes,
        )  # fmt: skip
        self.programs = (JobWorker(predictor, self.options, store, queue),)
        self._queries = JobOperations(self.options, show)
        self.operations = self._queries.operations
        self._described: ModelMetadata | None = None  # the metadata of this piece
        self._trouble = ""

    @property
    def metadata(self) -> ModelMetadata:
        if self._described is None:
            raise NotStarted(self.name, NOT_DESCRIBED)
        return self._described

    def describe(self, context: Context) -> ModelMetadata:
        return self.metadata

    def identity(self) -> str | None:
        return None

    def health(self) -> Health:
        health = super().health()
        return health if not self._trouble else Health(health.ready, f"{self.name}: {self._trouble}")

    async def check(self) -> Health:
        """The health known to this process, after a sweep; not ready if no worker has reported for ten seconds."""
        await self._sweep()
        health, age = self.health(), self._worker_age
        if age is None or age < WORKER_GONE:
            return health
        return Health(False, health.reason or f"{self.name}: no worker has reported for {age:.0f} s")

    async def start(self, runtime: Runtime) -> None:
        self._path, self._clock = runtime.path, runtime.clock
        self._queue = self.queue or runtime.path
        self._counts = QueueMetrics(runtime.metrics, runtime.path)
        self._said, self._described, self._trouble = b"", None, ""
        self._worker_age: float | None = None  # seconds since the last report of a worker
        url = self.store or runtime.settings.jobs_url
        self._jobs = await runtime.store(JobStore, url)  # type: ignore[type-abstract]
        self._queries.open(self._jobs, self._queue)
        await self._sweep()
        runtime.keep("sweep the queue", self._sweep_on)

    async def stop(self) -> None:
        self._described = self._queries.described = None

    # ---- queueing ----

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        described, context = self.metadata, request.context
        if request.outputs and set(request.outputs) != {JOB_ID.name}:
            raise InvalidInput(
                f"the only output is {JOB_ID.name!r}; the outputs of the model are in the answer of the job"
            )
        validate(request.inputs, described.inputs, described.max_batch_size)
        job = context.prediction_id
        if context.purpose in ("request", "test"):
            job = await self._enqueue(request)
        context.at(self._path).note("job", job, public=True)
        outputs = {JOB_ID.name: np.array([job.encode()], object)}
        return InferenceResponse(outputs, described.name, described.version, status="accepted")

    async def _enqueue(self, request: InferenceRequest) -> str:
        whole = replace(request, outputs=())
        try:
            body = encode_request(whole)
            key = request.context.headers.get(KEY)
            digest = "" if key is None else _digest(whole)
        except Unstorable as error:
            raise InvalidInput(f"this request cannot be queued: {error}") from None
        if key is not None and not 0 < len(key) <= MOST_KEY:
            raise InvalidInput(f"the header {KEY} must have 1 to {MOST_KEY} characters")
        if len(body) > self.options.max_payload_bytes:
            self._counts.refused["too_large"].inc()
            raise TooLarge(
                f"the request takes {len(body)} bytes, but a job may have at most {self.options.max_payload_bytes}"
            )
        context = request.context
        job = NewJob(context.prediction_id, body, self.options.job_timeout, context.principal, key, digest)
        try:
            queued = await self._jobs.enqueue(self._queue, job, self.options.bounds)
        except Overloaded:
            self._counts.refused["full"].inc()
            raise
        self._counts.queued.inc()
        return queued

    # ---- the background task ----

    async def _sweep_on(self) -> None:
        while True:
            seen = self._jobs.changes.count
            await self._sweep()
            if self._described is None:
                await self._jobs.changes.wait(seen, SWEEP_EVERY)
            else:
                await self._clock.sleep(SWEEP_EVERY)

    async def _sweep(self) -> None:
        """Reads the metadata that workers report, requeues jobs whose lease has ended, deletes old jobs, and updates
        the metrics.
        """
        try:
            said = await self._jobs.description(self._queue)
            self._counts.swept(await self._jobs.sweep(self._queue, self.options.keeping))
            self._counts.publish(await self._jobs.figures(self._queue))
        except Unavailable:
            self._trouble = "its store does not answer"
            return
        self._trouble = ""
        self._worker_age = None if said is None else said.age
        if said is not None and said.text != self._said:
            self._said = said.text
            try:
                model = decode_description(said.text)
            except DamagedData:
                self._trouble = "its workers are of another version"
                return
            self._queries.described = model
            self._described = replace(
                model, name=self.name, platform="job_queue", outputs=(JOB_ID,), primary_output=JOB_ID.name
            )


def _digest(request: InferenceRequest) -> str:
    """A digest of the request without its caller."""
    nobody = Context("", purpose=request.context.purpose)
    return hashlib.sha256(encode_request(replace(request, context=nobody, id=None))).hexdigest()
