"""The core: what a predictor is. Read this first.

Every serving pattern is a function from predictors to a predictor. A *leaf* turns a model into a
predictor (``mlpatterns.models``). A *piece* wraps predictors and is a predictor itself (``mlpatterns.pieces``).
Nothing in this file knows HTTP, ONNX or a database.

The other files of the core: `Context` describes the caller (context.py), `ModelMetadata` describes the inputs and
outputs of a model (metadata.py), `Operation` is a query or a command of a piece (operation.py), time, metrics and
shared state have interfaces (interfaces.py), and `BasePredictor` has the defaults for a predictor of your own
(base.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from msgspec import Struct

from mlpatterns.context import NOTHING, Context
from mlpatterns.interfaces import Clock, ControlStore, Metrics, Shared
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.operation import Caller, Operation, Streamed
from mlpatterns.settings import Settings

__all__ = [
    "Caller",
    "Health",
    "InferenceRequest",
    "InferenceResponse",
    "Operation",
    "Predictor",
    "Program",
    "Runtime",
    "Streamed",
]

S = TypeVar("S")
T = TypeVar("T")


class InferenceRequest(Struct, frozen=True):
    """One inference request.

    Attributes:
        inputs: the arrays by name. Their first axis is the batch. They are read-only.
        context: the caller, and the notes of the pieces that handle the request.
        id: the request id of the Open Inference Protocol; the response repeats it.
        parameters: the parameters that the caller sent in addition to the inputs.
        outputs: the names of the outputs that the caller wants; empty means all.
        deadline: the time by which the answer must be ready, in seconds of the monotonic clock; None means no limit.
    """

    inputs: Mapping[str, Array]
    context: Context
    id: str | None = None
    parameters: Mapping[str, Any] = NOTHING
    outputs: tuple[str, ...] = ()
    deadline: float | None = None

    def within(self, context: Context) -> InferenceRequest:
        """The same request with another context."""
        return InferenceRequest(self.inputs, context, self.id, self.parameters, self.outputs, self.deadline)


class InferenceResponse(Struct, frozen=True):
    """One inference response.

    Attributes:
        outputs: the arrays by name. Their first axis is the batch.
        model_name, model_version: the model that answered.
        identity: the identity of the predictor that answered (see `Predictor.identity`), or None.
        status: ``done``, or ``accepted``: then the only output is ``job_id``, the id of the job that computes the
            answer.
        degraded: whether a substitute answered: a fallback, or an old answer from a cache.
        described: the metadata of the predictor that answered, if a rule or an arm chose it; else None.
        parameters: the parameters in addition to the outputs.
    """

    outputs: Mapping[str, Array]
    model_name: str
    model_version: str
    identity: str | None = None
    parameters: Mapping[str, Any] = NOTHING
    status: Literal["done", "accepted"] = "done"
    degraded: bool = False
    described: ModelMetadata | None = None


class Health(Struct, frozen=True):
    """Whether a predictor, with everything that it needs, can answer now.

    Attributes:
        ready: whether it can answer.
        reason: what is wrong; empty if nothing is. A predictor that can answer may have a reason too.
    """

    ready: bool = True
    reason: str = ""


class Program(Protocol):
    """Work that runs alongside the predictors: a job worker, a monitor, a batch run.

    Attributes:
        name: its name in the log, in metrics and in the key of its lease.
        exclusive: whether only one process of the deployment runs it: the one that holds its lease in the ControlStore.
    """

    @property
    def name(self) -> str: ...
    @property
    def exclusive(self) -> bool: ...

    async def run(self, runtime: Runtime) -> None:
        """Works until it is done or is cancelled. A program that raises is restarted with back-off."""
        ...


class Runtime(Protocol):
    """What a predictor gets at its start: a predictor opens no store, thread or task itself.

    Attributes:
        clock: the time; a test replaces it.
        metrics: the metrics of the app.
        control: the documents that all workers and replicas share; a piece uses them through `shared`.
        settings: the settings of the app.
        path: the path of the piece: the names from the system down to the piece, separated by slashes. Notes,
            metric labels, shared documents and operations use this path.
        fence: the fencing token of an exclusive program: it grows with each new holder of the lease, so that a store
            can refuse writes of an earlier holder. It is 0 for everything else.
    """

    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def control(self) -> ControlStore: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def path(self) -> str: ...
    @property
    def fence(self) -> int: ...

    async def store(self, need: type[S], url: str) -> S:
        """The store of the kind `need` at `url`. All callers that name the same URL share one store; it is closed last.

        Raises:
            SettingsError: no backend of this kind has the scheme of the URL, or the URL is malformed.
            MissingExtra: the driver of the backend is not installed.
        """
        ...

    async def shared(self, key: str, type: type[T], initial: T) -> Shared[T]:
        """The document `key` of this piece, which all workers and replicas share; `initial` until it is written."""
        ...

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` in a task until the piece stops. Work that raises is restarted with back-off."""
        ...

    def begin(self, name: str, work: Callable[[], Awaitable[None]], *, most: int) -> bool:
        """Runs `work` in a task, once. If `most` tasks of this name already run, `work` is not run, a metric counts
        it, and the result is False."""
        ...

    async def offload(self, work: Callable[[], T]) -> T:
        """Runs user code in a thread. Returns when the work has ended, even if the caller is cancelled earlier."""
        ...

    async def start_tree(self, *roots: Predictor) -> None:
        """Starts predictors after the app has started, leaves first. Each starts once, however many calls name it.
        If one fails, all predictors that this call started are stopped."""
        ...

    async def stop_tree(self, root: Predictor) -> None:
        """Stops the predictors below `root` that nothing else uses; the others stop with the app."""
        ...


class Predictor(Protocol):
    """A model, or anything built around models, that answers inference requests.

    Attributes:
        name: its name in notes, in metrics, in the paths of its operations, and as a served model.
        children: the predictors that it wraps, by name. Set at construction: health, drawings and deployment use
            them.
        apart: the names of the children that another process runs; this process does not start them.
        operations: its queries, commands and pages.
        programs: the programs that run alongside it.
        reads_headers: the headers, in lower case, that it reads in addition to those that the settings allow; never one
            that carries credentials.
        metadata: its inputs and outputs. Valid after the start; raises NotStarted before.
        depends_on_caller: whether the answer depends on the caller, not only on the inputs.
    """

    @property
    def name(self) -> str: ...
    @property
    def children(self) -> Mapping[str, Predictor]: ...
    @property
    def apart(self) -> Collection[str]: ...
    @property
    def operations(self) -> Sequence[Operation]: ...
    @property
    def programs(self) -> Sequence[Program]: ...
    @property
    def reads_headers(self) -> Collection[str]: ...
    @property
    def metadata(self) -> ModelMetadata: ...
    @property
    def depends_on_caller(self) -> bool: ...

    def describe(self, context: Context) -> ModelMetadata:
        """The metadata of the model that answers this caller, where a rule or an arm chooses it; else the metadata."""
        ...

    def identity(self) -> str | None:
        """A digest of everything that decides the answer to given inputs; None if equal inputs may get different
        answers, or if this is not known."""
        ...

    def health(self) -> Health:
        """The health of this predictor and all below it, as far as it is known without calling another process."""
        ...

    async def check(self) -> Health:
        """The same, but calls what runs in another process to learn its health."""
        ...

    async def start(self, runtime: Runtime) -> None:
        """Makes it ready to answer. Its children have started before."""
        ...

    async def stop(self) -> None:
        """Releases what it holds. Its children stop afterwards."""
        ...

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Answers one request.

        Raises:
            PredictionError: it cannot answer; the code of the error says why.
        """
        ...
