"""The core: what a predictor is. Read this first.

Every serving pattern is a function from predictors to a predictor. A *leaf* makes a model a predictor
(``mlpatterns.models``); a *piece* wraps predictors and is one (``mlpatterns.pieces``). Nothing here knows HTTP,
ONNX or a database. Who asks is a `Context` (context.py), what a model takes is a `ModelMetadata` (metadata.py), time,
metrics and shared state have interfaces (interfaces.py), and base.py has the defaults of a predictor of your own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from msgspec import Struct

from mlpatterns.context import NOTHING, Context
from mlpatterns.interfaces import Clock, ControlStore, Metrics, Shared
from mlpatterns.metadata import Array, ModelMetadata
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
    """What is asked. `outputs` empty means all of them; `deadline` is in seconds of the monotonic clock."""

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
        identity: the digest of what decided the answer, where the predictor knows it.
        status: ``accepted``: the one output ``job_id`` says which job will have the answer.
        degraded: something stood in for what should have answered.
        described: the metadata of who answered, where that is not who was asked: a rule or an arm chose.
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
    """Whether a predictor and what it needs can answer; `reason` says what is wrong, even if it answers."""

    ready: bool = True
    reason: str = ""


class Caller(Struct, frozen=True):
    """Who calls an operation: for the audit, for idempotency, for access to one's own job."""

    principal: str | None
    headers: Mapping[str, str]
    deadline: float


class Operation(Struct, frozen=True):
    """What a piece offers beside predict, without knowing HTTP: the server maps, authorises and documents it.

    Attributes:
        name: words and `{fields}` of the input with slashes between them: ``weights``, ``job/{id}``, ``health/all``.
        kind: a query reads, a command changes something, a page is a query whose output is HTML. One piece may have a
            query and a command of the same name.
        access: whether it is for every user, or for who has the admin token.
        input: a record that msgspec can decode, or NoneType; of a command without `{fields}`, anything it can decode.
        output: what msgspec can encode; the handler may give it as a `Streamed`.
        handler: from input and caller to output, raising PredictionErrors; its docstring goes into the documents.
    """

    name: str
    kind: Literal["query", "command", "page"]
    access: Literal["public", "token"]
    input: type
    output: type
    handler: Callable[[Any, Caller], Awaitable[Any]]


class Streamed(Struct, frozen=True):
    """The JSON of an operation's output, sent in parts: what is too large to be held."""

    chunks: AsyncIterator[bytes]


class Program(Protocol):
    """What works beside the predictors: a job worker, a monitor, a batch run.

    Attributes:
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
        children: what it wraps; valid from construction: health, drawings and deployment read it.
        apart: the children that `running` does not start here.
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

    async def start(self, runtime: Runtime) -> None: ...
    async def stop(self) -> None: ...

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Answers one request.

        Raises:
            PredictionError: with the code that says why.
        """
        ...
