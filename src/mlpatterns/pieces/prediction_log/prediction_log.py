"""PredictionLog: writes a record of every prediction, without delaying requests."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import NoneType
from zlib import crc32

from mlpatterns.base import CLIENT_LEFT, Wrapper, ended
from mlpatterns.errors import MlpatternsError, Unavailable
from mlpatterns.pieces import piece
from mlpatterns.pieces.prediction_log.feedback import FeedbackOperations
from mlpatterns.pieces.prediction_log.queue import LogQueue, LogStats
from mlpatterns.pieces.prediction_log.records import EndedPrediction, RecordOptions, arm_of
from mlpatterns.predictor import Caller, Health, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.redaction import redact as without_password
from mlpatterns.stores import offers
from mlpatterns.stores.log import LogSink, LogStore, Status
from mlpatterns.user_errors import CompositionError

__all__ = ["PredictionLog"]

LONGEST = 1000  # characters of an error
ALL = 2**32


@piece(lambda inner, _: PredictionLog(inner, sink="memory://"))
class PredictionLog(Wrapper):
    """Logs the requests and responses of `predictor`, including failed requests and those whose client has left.

    A record waits in memory for at most half a second, and is then written together with others. If the sink is down or
    slow, no request fails: records that do not fit into the queue are dropped and counted. Probes, which the server
    itself sends, are not logged. If the sink is a LogStore, it also stores feedback, which refers to a prediction by
    its id.

    Args:
        predictor: the predictor whose requests and responses are logged.
        sink: the URL of a LogSink or LogStore; by default the setting `log`.
        sample: the share of predictions that are logged; every log chooses the same ones. Other predictions are logged
            without their tensors if they have an exposure note, and otherwise not at all.
        redact: names of inputs, outputs and columns of inputs whose values are never logged.
        max_elements: the maximum number of elements of a logged tensor; for a larger tensor, and for an image, the
            record has the size and the SHA-256.
        max_records, max_bytes: limits on the records that wait to be written.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: an option is out of its range; at the start: a name in `redact` is not an input, output or
            column.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        sink: str | None = None,
        sample: float = 1.0,
        redact: Collection[str] = (),
        max_elements: int = 10_000,
        max_records: int = 20_000,
        max_bytes: int = 64 * 2**20,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        if not 0 <= sample <= 1:
            raise CompositionError("sample is a share: at least 0 and at most 1")
        if isinstance(redact, str):
            raise CompositionError(f"redact takes several names: write redact=({redact!r},)")
        if max_elements < 1 or max_records < 1 or max_bytes < 1:
            raise CompositionError("max_elements, max_records and max_bytes must be greater than 0")
        self.sink, self.sample, self.redact, self.max_elements = sink, sample, tuple(redact), max_elements
        self.max_records, self.max_bytes = max_records, max_bytes
        self._queue: LogQueue | None = None
        self._queries = FeedbackOperations()
        figures = Operation("log", "query", "public", NoneType, LogStats, self._figures)
        self.operations = (figures, *self._queries.operations)

    async def start(self, runtime: Runtime) -> None:
        writing = RecordOptions(
            runtime.path, lambda: self.inner.metadata, redact=self.redact, max_elements=self.max_elements
        )
        writing.check()
        url = self.sink or runtime.settings.log_url
        self._clock, self._time, self._monotonic = runtime.clock, runtime.clock.time, runtime.clock.monotonic
        self._bound = int(self.sample * ALL)
        sink, store = await _opened(runtime, url)
        self._queue = LogQueue(
            sink, writing, runtime, max_records=self.max_records, max_bytes=self.max_bytes, shown=without_password(url)
        )
        self._queries.open(store, self._queue, runtime)

    async def stop(self) -> None:
        if self._queue is not None:  # else start() failed
            await self._queue.stop()

    def health(self) -> Health:
        return self._with_trouble(super().health())

    async def check(self) -> Health:
        return self._with_trouble(await super().check())

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        at, began = self._time(), self._monotonic()
        try:
            response = await self.inner.predict(request)
        except BaseException as error:
            self._failed(request, error, at, self._monotonic() - began)
            raise
        self._log(request, response, at, self._monotonic() - began, response.status)
        return response

    async def _figures(self, _: None, caller: Caller) -> LogStats:
        """The counts of the log in this worker: records written, waiting and dropped.

        Raises:
            Unavailable: the log has not started yet.
        """
        if self._queue is None:
            raise Unavailable("the log has not started yet", retry_after=1)
        return self._queue.figures

    def _log(
        self, request: InferenceRequest, response: InferenceResponse | None, at: float, seconds: float, status: Status,
        code: str = "", error: str = "",
    ) -> None:  # fmt: skip
        queue, context = self._queue, request.context
        if queue is None or context.purpose == "probe":
            return
        notes = tuple(context.notes)  # a copy: pieces around this one add notes later
        tensors = self._bound >= ALL or crc32(context.prediction_id.encode()) < self._bound
        if tensors or arm_of(notes) is not None:
            queue.put(EndedPrediction(request, response, at, seconds, notes, status, code, error, tensors))

    def _failed(self, request: InferenceRequest, error: BaseException, at: float, seconds: float) -> None:
        code = ended(error, request, self._clock)
        status: Status = "cancelled" if code == CLIENT_LEFT else "failed"
        self._log(request, None, at, seconds, status, str(code), _sentence(error))

    def _with_trouble(self, health: Health) -> Health:
        trouble = self._queue.trouble if self._queue is not None else ""
        return Health(health.ready, "; ".join(filter(None, (health.reason, trouble))))


async def _opened(runtime: Runtime, url: str) -> tuple[LogSink, LogStore | None]:
    """The sink, and the same object as a LogStore if it can also be read."""
    if not offers(LogStore, url):
        sink: LogSink = await runtime.store(LogSink, url)  # type: ignore[type-abstract]
        return sink, None
    store: LogStore = await runtime.store(LogStore, url)  # type: ignore[type-abstract]
    return store, store


def _sentence(error: BaseException) -> str:
    """The error for the record: the text of our own errors, but only the class of others, whose text may be secret."""
    if isinstance(error, asyncio.CancelledError):
        return ""
    return str(error)[:LONGEST] if isinstance(error, MlpatternsError) else type(error).__name__
