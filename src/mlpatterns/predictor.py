"""The core: what a predictor is. Read this first.

Every serving pattern is a function from predictors to a predictor. A *leaf* makes a model a predictor
(``mlpatterns.models``); a *piece* wraps predictors and is one (``mlpatterns.pieces``). Nothing here knows HTTP,
ONNX or a database.

Arrays travel by name. Their first axis is the batch; a tensor of datatype BYTES is an object array of ``bytes``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from msgspec import Struct, field

from mlpatterns.errors import ErrorCode, NotStarted, Unsupported
from mlpatterns.settings import Settings

__all__ = [
    "BasePredictor",
    "Change",
    "Clock",
    "Context",
    "ControlStore",
    "Document",
    "ErrorCode",
    "InferenceRequest",
    "InferenceResponse",
    "Metric",
    "Metrics",
    "ModelMetadata",
    "Operation",
    "Predictor",
    "Runtime",
    "TensorSpec",
    "Wrapper",
]

S = TypeVar("S")
T = TypeVar("T")
Array = np.ndarray[Any, np.dtype[Any]]
NOTHING: Mapping[str, Any] = MappingProxyType({})


# ---- records -----------------------------------------------------------------------------------------------------


class TensorSpec(Struct, frozen=True):
    """One input or output of a model.

    Attributes:
        datatype: a name of the Open Inference Protocol: BOOL, UINT8 … UINT64, INT8 … INT64, FP16, FP32, FP64, BYTES.
        shape: sizes by axis, the batch first; -1 is variable.
        content: what the elements mean; it decides how the simple API decodes them.
        fields: the column names of the last axis, or nothing.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: Literal["tensor", "image", "key", "text"] = "tensor"
    fields: tuple[str, ...] = ()


class ModelMetadata(Struct, frozen=True):
    """What a predictor takes and gives. `primary_output` is the output that the simple API answers with."""

    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    primary_output: str
    labels: tuple[str, ...] = ()
    sample: Mapping[str, Array] | None = None


class Context(Struct):
    """Who asks; never part of what is asked.

    Attributes:
        prediction_id: made by us, unique and sortable; joins log, feedback and trace.
        headers: allow-listed and lower-case, from HTTP headers or gRPC metadata.
        principal: the name behind the credentials, or None.
        notes: arm, cache state, stage latencies: for logs, never from outside.
    """

    prediction_id: str
    headers: Mapping[str, str] = NOTHING
    principal: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)


class InferenceRequest(Struct, frozen=True):
    """What is asked. `outputs` empty means all of them; `deadline` is in seconds of the monotonic clock."""

    inputs: Mapping[str, Array]
    context: Context
    id: str | None = None
    parameters: Mapping[str, Any] = NOTHING
    outputs: tuple[str, ...] = ()
    deadline: float | None = None


class InferenceResponse(Struct, frozen=True):
    """What is answered. `identity` is the digest of what decided the answer, where the predictor knows it."""

    outputs: Mapping[str, Array]
    model_name: str
    model_version: str
    identity: str | None = None
    parameters: Mapping[str, Any] = NOTHING
    status: Literal["done", "accepted"] = "done"
    degraded: bool = False


class Operation(Struct, frozen=True):
    """What a piece offers beside predict, without knowing HTTP: the server maps, authorises and documents it.

    Attributes:
        name: words and `{fields}` of the input with slashes between them: ``weights``, ``job/{id}``, ``health/all``.
        kind: a query reads, a command changes something, a page is a query whose output is HTML. One piece may have a
            query and a command of the same name.
        access: whether it is for every user, or for who has the admin token.
        input: a record that msgspec can decode, or NoneType; of a command without `{fields}`, anything it can decode.
        output: what msgspec can encode.
        handler: from input to output, raising PredictionErrors; its docstring goes into the documents.
    """

    name: str
    kind: Literal["query", "command", "page"]
    access: Literal["public", "token"]
    input: type
    output: type
    handler: Callable[[Any], Awaitable[Any]]


# ---- what start hands over ----------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, so that a test can hold it still. Seconds everywhere."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Metric(Protocol):
    """One labelled series. Resolve it once, at start; then each call costs well under a microsecond."""

    def inc(self, amount: float = 1.0) -> None: ...
    def set(self, value: float) -> None: ...
    def observe(self, value: float) -> None: ...


class Metrics(Protocol):
    """The metrics of one app. The same name and labels give the same series."""

    def counter(self, name: str, help: str, **labels: str) -> Metric: ...
    def gauge(self, name: str, help: str, **labels: str) -> Metric: ...
    def histogram(self, name: str, help: str, **labels: str) -> Metric: ...


class Document(Struct, frozen=True):
    """One versioned value of a ControlStore; `revision` starts at 1 and grows by 1 a change."""

    key: str
    value: Any
    revision: int


class Change(Struct, frozen=True):
    """One write to a ControlStore: `by` whom, `at` which time (seconds since 1970) `value` became `revision`."""

    key: str
    value: Any
    revision: int
    by: str
    at: float


class ControlStore(Protocol):
    """State shared by all workers and replicas: weights, thresholds, rules, pins.

    A key, and who writes, has 1 to 256 characters; a value is what JSON can say, in 64 KiB at most.

    Raises:
        Unavailable: by every method: it does not answer now. A `put` may have been done nevertheless: read it again.
    """

    async def get(self, key: str) -> Document | None: ...
    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document:
        """Writes if the stored revision is `expected` (None: there is none yet), else raises Conflict.

        Raises:
            Conflict: another revision is stored.
            InvalidInput: the value cannot be written as JSON, or a name is malformed.
            TooLarge: the value is too large.
        """
        ...

    async def history(self, key: str, limit: int = 20) -> list[Change]:
        """The last changes of a document, newest first; the last 1000 are remembered."""
        ...


class Runtime(Protocol):
    """Handed to `start`: nothing opens its own stores, threads or tasks."""

    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def control(self) -> ControlStore: ...
    @property
    def settings(self) -> Settings: ...

    async def store(self, need: type[S], url: str) -> S:
        """The store of kind `need` at `url`: one a URL, closed last."""
        ...

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` beside the predictors; it is started anew with back-off if it fails, cancelled at stop."""
        ...

    async def offload(self, work: Callable[[], T]) -> T:
        """Runs `work` in a thread; ends when the work ends, even when the caller is cancelled."""
        ...

    async def start_tree(self, *roots: Predictor) -> None:
        """Starts predictors that come later than the rest, leaves first; if one fails, what this started is stopped."""
        ...

    async def stop_tree(self, root: Predictor) -> None:
        """Stops what `start_tree` started for `root`; the rest is stopped when the app is."""
        ...


# ---- the one interface --------------------------------------------------------------------------------------------


class Predictor(Protocol):
    """A model, or anything built around models, that answers inference requests."""

    @property
    def name(self) -> str: ...
    @property
    def children(self) -> Mapping[str, Predictor]:
        """What it wraps; valid from construction: health, drawings and deployment read it."""
        ...

    @property
    def metadata(self) -> ModelMetadata:
        """Valid after start.

        Raises:
            NotStarted: before that, or while a remote part has not yet answered.
        """
        ...

    @property
    def operations(self) -> Sequence[Operation]: ...

    def identity(self) -> str | None:
        """A digest of all that decides the answer from the inputs alone, or None if there is no such thing."""
        ...

    async def start(self, runtime: Runtime) -> None: ...
    async def stop(self) -> None: ...

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Answers one request.

        Raises:
            PredictionError: with the code that says why.
        """
        ...


class BasePredictor:
    """The defaults, so that a predictor is mostly its `predict`. Constructors only store; `start` works."""

    operations: Sequence[Operation] = ()

    def __init__(self, name: str, children: Mapping[str, Predictor] = NOTHING) -> None:
        self.name = name
        self.children: Mapping[str, Predictor] = dict(children)

    @property
    def metadata(self) -> ModelMetadata:
        raise NotStarted(self.name)

    def identity(self) -> str | None:
        return None

    async def start(self, runtime: Runtime) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        raise Unsupported(f"{self.name!r} does not predict")


class Wrapper(BasePredictor):
    """A piece around one predictor: same name, same metadata, same identity unless it says otherwise."""

    def __init__(self, inner: Predictor, name: str | None = None) -> None:
        super().__init__(name or inner.name, {"inner": inner})
        self.inner = inner

    @property
    def metadata(self) -> ModelMetadata:
        return self.inner.metadata

    def identity(self) -> str | None:
        return self.inner.identity()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await self.inner.predict(request)
