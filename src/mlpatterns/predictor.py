"""The core: what a predictor is. Read this first.

Every serving pattern is a function from predictors to a predictor. A *leaf* makes a model a predictor
(``mlpatterns.models``); a *piece* wraps predictors and is one (``mlpatterns.pieces``). Nothing here knows HTTP,
ONNX or a database. Who asks is a `Context` (context.py), what a model takes is a `ModelMetadata` (metadata.py), what a
piece offers beside predict is an `Operation` (operation.py), time, metrics and shared state have interfaces
(interfaces.py), and base.py has the defaults of a predictor of your own.
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


# ---- records -----------------------------------------------------------------------------------------------------


class InferenceRequest(Struct, frozen=True):
    """What is asked.

    Attributes:
        inputs: arrays by name, with the batch first; they are read-only.
        context: who asks.
        id: of the Open Inference Protocol, which the answer repeats.
        parameters: beside the inputs, as the caller gave them.
        outputs: the names that are asked for; empty means all of them.
        deadline: in seconds of the monotonic clock, or None.
    """

    inputs: Mapping[str, Array]
    context: Context
    id: str | None = None
    parameters: Mapping[str, Any] = NOTHING
    outputs: tuple[str, ...] = ()
    deadline: float | None = None

    def within(self, context: Context) -> InferenceRequest:
        """The same in another context."""
        return InferenceRequest(self.inputs, context, self.id, self.parameters, self.outputs, self.deadline)


class InferenceResponse(Struct, frozen=True):
    """What is answered.

    Attributes:
        outputs: arrays by name, with the batch first.
        model_name, model_version: of who answered.
        identity: the digest of what decided the answer, where the predictor knows it.
        status: ``accepted``: the one output ``job_id`` says which job will have the answer.
        degraded: something stood in for what should have answered.
        described: the metadata of who answered, where that is not who was asked: a rule or an arm chose.
        parameters: beside the outputs.
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
    """Whether a predictor and what it needs can answer; `reason` says what is wrong, even if it answers.

    Attributes:
        ready: whether it can.
        reason: what is wrong, or nothing.
    """

    ready: bool = True
    reason: str = ""


class Program(Protocol):
    """What works beside the predictors: a job worker, a monitor, a batch run.

    Attributes:
        name: what log, metrics and its lease call it.
        exclusive: one in the whole deployment runs it: whoever holds its lease in the ControlStore.
    """

    @property
    def name(self) -> str: ...
    @property
    def exclusive(self) -> bool: ...

    async def run(self, runtime: Runtime) -> None:
        """Works until it is done or is cancelled; if it fails, it is started anew with back-off."""
        ...


# ---- the interfaces ----------------------------------------------------------------------------------------------


class Runtime(Protocol):
    """Handed to `start`: nothing opens its own stores, threads or tasks.

    Attributes:
        clock: time, which a test may hold still.
        metrics: where figures are counted.
        control: documents that all workers and replicas share; `shared` is how a piece uses them.
        settings: of the app.
        path: of the piece that starts, from its system down, with a slash between the names: the one name in notes,
            metric labels, shared keys and operations.
        fence: in an exclusive program, a number that grows with each holder of its lease; a store that is told it can
            refuse the writes of an earlier holder. 0 elsewhere.
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
        """The store of kind `need` at `url`: one a URL, closed last."""
        ...

    async def shared(self, key: str, type: type[T], initial: T) -> Shared[T]:
        """The document `key` of this piece, which all workers and replicas share."""
        ...

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` until the piece stops; if it fails, it is started anew with back-off."""
        ...

    def begin(self, name: str, work: Callable[[], Awaitable[None]], *, most: int) -> bool:
        """Runs `work` once; False, and counted, when `most` of that name run already."""
        ...

    async def offload(self, work: Callable[[], T]) -> T:
        """Runs user code in a thread; ends when the work ends, even when the caller is cancelled."""
        ...

    async def start_tree(self, *roots: Predictor) -> None:
        """Starts predictors later than the rest, leaves first, each once however many ask for it; if one fails, what
        this call started is stopped."""
        ...

    async def stop_tree(self, root: Predictor) -> None:
        """Stops what runs only for `root`; the rest is stopped when the app is."""
        ...


class Predictor(Protocol):
    """A model, or anything built around models, that answers inference requests.

    Attributes:
        name: what notes, metrics and the paths of its operations call it, and what it is served as.
        children: what it wraps; valid from construction: health, drawings and deployment read it.
        apart: the children that `running` does not start here.
        operations: what it offers beside predict.
        programs: what works beside it.
        reads_headers: the headers, in lower case, that it reads beside those that the settings let through; none that
            carries credentials.
        metadata: valid after start; before that it raises NotStarted.
        depends_on_caller: whether who asks, and not only what is asked, decides the answer.
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
        """What this caller's requests meet; where no rule chooses, the metadata."""
        ...

    def identity(self) -> str | None:
        """A digest of all that decides the answer from the inputs alone, or None if there is no such thing."""
        ...

    def health(self) -> Health:
        """As far as is known, of it and all below it."""
        ...

    async def check(self) -> Health:
        """The same, asked now where something else must be reached."""
        ...

    async def start(self, runtime: Runtime) -> None:
        """Makes it ready to answer; what it wraps has started before."""
        ...

    async def stop(self) -> None:
        """Gives back what it holds; what it wraps stops afterwards."""
        ...

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Answers one request.

        Raises:
            PredictionError: with the code that says why.
        """
        ...
