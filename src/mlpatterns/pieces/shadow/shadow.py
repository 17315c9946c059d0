"""Shadow: sends the requests of the primary model to a candidate too, and compares the answers, unseen by callers."""

from __future__ import annotations

from collections.abc import Collection
from types import NoneType
from zlib import crc32

from msgspec.structs import asdict

from mlpatterns.base import BasePredictor, name_of
from mlpatterns.context import NOTHING, Context
from mlpatterns.errors import Unavailable
from mlpatterns.metadata import ModelMetadata
from mlpatterns.pieces import piece
from mlpatterns.pieces.prediction_log.queue import LogQueue
from mlpatterns.pieces.prediction_log.records import EndedPrediction, RecordOptions
from mlpatterns.pieces.shadow.mirror import Mirror, MirrorCounts, MirroredRequest, MirrorOutcome
from mlpatterns.pieces.shadow.report import DIFFERENCE, ShadowOperations
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.redaction import redact as without_password
from mlpatterns.stores import offers
from mlpatterns.stores.log import LogSink, LogStore, Status
from mlpatterns.user_errors import CompositionError

__all__ = ["Shadow"]

ALL = 2**32


@piece(lambda inner, other: Shadow(inner, other, sink="memory://"))
class Shadow(BasePredictor):
    """Returns the answer of `primary`, and then sends the request to `candidate` too, e.g. ``Shadow(model,
    OnnxModel("next"))``.

    Callers wait for the primary only. The candidate starts in the background and gets the request after the primary has
    answered; it may be slow, fail or be missing. It gets the request and the id of the caller, but not the rest of the
    context. The metrics count how each sampled request ends: it is compared, fails or is dropped. Probes and replays
    are not mirrored; tests are mirrored only if `tests` is set.

    Each comparison is a record in the log, with the same prediction id, the role ``shadow`` and the note
    ``difference``. The query `shadow` and the page `shadow/report` read these records. The record does not repeat the
    inputs: the record of the primary has them if a PredictionLog around this piece keeps them.

    A candidate in this process shares the CPUs and threads of the primary. A candidate that blocks the event loop needs
    its own process (`run_on="process"`, or a Service).

    Args:
        primary: the predictor that answers; this piece has its name.
        candidate: gets the same requests afterwards.
        sample: the share of requests that are mirrored; every replica chooses the same ones.
        tests: whether to mirror tests too. Reports do not count them; the caller can look one up by its id.
        sink: the URL of the log; by default the setting `log`.
        redact: names of outputs that the records never keep.
        tolerance: a smaller difference between two numbers does not count.
        timeout: the seconds that the candidate may take for one request.
        max_concurrency: the number of requests that the candidate runs at once, in each process.
        max_waiting, max_bytes: limits on the requests that wait for the candidate, and on their tensors; others are
            dropped.

    Raises:
        CompositionError: an option is out of its range, or the answer of the candidate depends on the caller.
    """

    apart: Collection[str] = ("candidate",)

    def __init__(
        self,
        primary: Predictor,
        candidate: Predictor,
        *,
        sample: float = 1.0,
        tests: bool = False,
        sink: str | None = None,
        redact: Collection[str] = (),
        tolerance: float = 1e-5,
        timeout: float = 30.0,
        max_concurrency: int = 1,
        max_waiting: int = 100,
        max_bytes: int = 64 * 2**20,
    ) -> None:
        super().__init__(name_of(primary), {"primary": primary, "candidate": candidate})
        if not 0 <= sample <= 1:
            raise CompositionError("sample is a share: at least 0 and at most 1")
        if not (tolerance >= 0 and timeout > 0 and max_concurrency > 0 and max_waiting > 0 and max_bytes > 0):
            raise CompositionError("timeout and the bounds of a Shadow must be greater than 0")
        candidate_name = name_of(candidate)
        if candidate.depends_on_caller:
            raise CompositionError(
                f"{candidate_name!r} cannot be the candidate of a Shadow, since its answer depends on the caller, and "
                "a mirrored request has none; use a candidate that answers all callers alike"
            )
        self.primary, self.candidate, self.sample, self.tests = primary, candidate, sample, tests
        self._purposes = ("request", "test") if tests else ("request",)
        self.sink, self.redact, self.tolerance, self.timeout = sink, tuple(redact), tolerance, timeout
        self.max_concurrency, self.max_waiting, self.max_bytes = max_concurrency, max_waiting, max_bytes
        self._queries = ShadowOperations()
        self.operations = (
            *self._queries.operations,
            Operation("shadow/figures", "query", "public", NoneType, MirrorCounts, self._figures),
        )
        self._mirror: Mirror | None = None
        self._log: LogQueue | None = None

    # ---- a predictor: the primary ----

    @property
    def metadata(self) -> ModelMetadata:
        return self.primary.metadata

    @property
    def depends_on_caller(self) -> bool:
        return self.primary.depends_on_caller

    def describe(self, context: Context) -> ModelMetadata:
        return self.primary.describe(context)

    def identity(self) -> str | None:
        return self.primary.identity()

    async def start(self, runtime: Runtime) -> None:
        self._path, self._clock, self._bound = runtime.path, runtime.clock, int(self.sample * ALL)
        url = self.sink or runtime.settings.log_url
        store = await runtime.store(LogStore, url) if offers(LogStore, url) else None  # type: ignore[type-abstract]
        sink: LogSink = store if store is not None else await runtime.store(LogSink, url)  # type: ignore[type-abstract]
        writing = RecordOptions(runtime.path, lambda: self.primary.metadata, redact=self.redact, role="shadow")
        writing.check()
        self._log = LogQueue(
            sink, writing, runtime, max_records=20_000, max_bytes=self.max_bytes, shown=without_password(url)
        )
        self._queries.open(store, runtime)
        self._mirror = Mirror(
            self.candidate, runtime, self._ended,
            max_concurrency=self.max_concurrency, max_waiting=self.max_waiting, max_bytes=self.max_bytes,
            timeout=self.timeout, tolerance=self.tolerance,
        )  # fmt: skip

    async def stop(self) -> None:
        mirror, self._mirror = self._mirror, None
        if mirror is not None:
            await mirror.stop()
        if self._log is not None:
            await self._log.stop()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        at, began = self._clock.time(), self._clock.monotonic()
        answer = await self.primary.predict(request)
        mirror, context = self._mirror, request.context
        if (
            mirror is not None
            and context.purpose in self._purposes
            and answer.status == "done"
            and self._takes(context)
        ):
            described = answer.described or self.primary.metadata
            taken = mirror.put(MirroredRequest(request, answer, described, at, self._clock.monotonic() - began))
            context.at(self._path).note("shadow", "mirrored" if taken else "dropped")
        return answer

    def _takes(self, context: Context) -> bool:
        return self._bound >= ALL or crc32(context.prediction_id.encode()) < self._bound

    def _ended(self, end: MirrorOutcome) -> None:
        """Logs the outcome of a mirrored request."""
        asked, log = end.mirrored.request, self._log
        if log is None:
            return
        whose = asked.context
        context = Context(whose.prediction_id, NOTHING, whose.principal, whose.caller_id, whose.purpose,
                          where=self._path, notes=end.context.notes)  # fmt: skip
        if end.found is not None:
            difference = {**asdict(end.found), "seconds": end.mirrored.seconds, "model": end.mirrored.described.name}
            context.note(DIFFERENCE, difference)
        code, text = ("", "") if end.error is None else (str(end.error.code), str(end.error)[:1000])
        status: Status = "done" if end.answer is not None else "failed"
        request = InferenceRequest({}, context)
        log.put(EndedPrediction(request, end.answer, end.at, end.seconds, tuple(context.notes), status, code, text))

    async def _figures(self, _: None, caller: Caller) -> MirrorCounts:
        """How the sampled requests ended, in this process since its start."""
        if self._mirror is None:
            raise Unavailable("the server is stopping", retry_after=1)
        return self._mirror.counts
