"""PythonModel: any Python code as a predictor: torch, Hugging Face, XGBoost, scikit-learn, a plain function."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from mlpatterns.base import BasePredictor
from mlpatterns.errors import (
    CompositionError,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    ModelFileError,
    NotStarted,
    PredictionError,
    UserError,
)
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime
from mlpatterns.tensors import batch_size, check_rows
from mlpatterns.user_code import awaited, called

__all__ = ["PythonModel"]

log = logging.getLogger("mlpatterns")

State = TypeVar("State")
Arrays = Mapping[str, Array]


class Place(Protocol):
    """Where a model's code runs."""

    async def open(self, runtime: Runtime) -> None: ...
    async def close(self) -> None: ...
    async def call(self, inputs: Arrays, deadline: float | None) -> Any: ...


class PythonModel(BasePredictor):
    """A model made of two functions of yours.

    Args:
        load: makes the model, once at start; in a thread, unless it is `async def`.
        predict: from what `load` made, and the input arrays by name, to the output arrays by name; the first axis
            of each is the batch.
        run_on: ``loop``: on the event loop, for work under a millisecond, and the only place for ``async def``;
            ``thread``: for code that releases the GIL and may be called from several threads at once;
            ``process``: in child processes that import both functions, for code that holds the GIL.
        processes: how many children, with ``process``; each loads its own model and does one call at a time.
        digest: of all that decides the answers, e.g. the SHA-256 of the weights; without it answers are not cached.
        primary_output: what the simple API answers with; the first output unless said.
        max_batch_size: rows that one request may have.

    Raises:
        CompositionError: at construction: the functions cannot run where `run_on` says.
        ModelFileError: at start: `load` failed.
        InternalError: `predict` failed, or did not give what `outputs` declares.
        Unavailable: the child that worked on the request died; a new one takes the next.
    """

    def __init__(
        self,
        load: Callable[[], State] | Callable[[], Awaitable[State]],
        predict: Callable[[State, Arrays], Arrays] | Callable[[State, Arrays], Awaitable[Arrays]],
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        sample: Arrays | None = None,
        labels: Sequence[str] = (),
        run_on: Literal["loop", "thread", "process"] = "loop",
        processes: int = 1,
        digest: str | None = None,
        name: str | None = None,
        version: str = "1",
        primary_output: str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__(name or "python")
        names = tuple(spec.name for spec in outputs)
        if not names or (primary_output or names[0]) not in names:
            raise CompositionError(f"{self.name!r} needs outputs, with its primary output among them")
        self._described = ModelMetadata(
            self.name,
            version,
            "python",
            tuple(inputs),
            tuple(outputs),
            primary_output or names[0],
            tuple(labels),
            sample,
            max_batch_size,
        )
        self._batched = any(spec.shape[:1] == (-1,) for spec in inputs)
        self.digest, self._outputs = digest, names
        self._place = _place(run_on, load, predict, processes, self.name)
        self._started = False

    @property
    def metadata(self) -> ModelMetadata:
        if not self._started:
            raise NotStarted(self.name)
        return self._described

    def identity(self) -> str | None:
        if self.digest is None:
            return None
        return hashlib.sha256("\n".join((self.digest, self.name, self._described.version)).encode()).hexdigest()

    async def start(self, runtime: Runtime) -> None:
        self._clock = runtime.clock
        self._identity = self.identity()
        try:
            await self._place.open(runtime)
        except UserError:
            raise
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelFileError(f"the model {self.name!r} did not load: {words}") from error
        self._started = True

    async def stop(self) -> None:
        self._started = False
        await self._place.close()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if not self._started:
            raise NotStarted(self.name)
        for asked in request.outputs:
            if asked not in self._outputs:
                raise InvalidInput(f"there is no output {asked!r}; there is {', '.join(self._outputs)}")
        if request.deadline is not None and self._clock.monotonic() >= request.deadline:
            raise DeadlineExceeded
        try:
            answer = await self._place.call(request.inputs, request.deadline)
        except PredictionError:
            raise
        except Exception as error:
            log.exception("the model %r failed", self.name)
            raise InternalError("the model failed") from error
        outputs = self._checked(answer)
        if self._batched:
            check_rows(outputs, batch_size(request.inputs))
        if request.outputs:
            outputs = {asked: outputs[asked] for asked in request.outputs}
        return InferenceResponse(outputs, self.name, self._described.version, self._identity)

    def _checked(self, answer: Any) -> dict[str, Array]:
        """The declared outputs of `answer`."""
        if not isinstance(answer, Mapping):
            raise InternalError("the model did not give its outputs by name")
        outputs = {}
        for name in self._outputs:
            if name not in answer:
                raise InternalError(f"the model gave no output {name!r}")
            outputs[name] = np.asarray(answer[name])
        return outputs


class OnLoop:
    """On the event loop itself."""

    def __init__(self, load: Callable[[], Any], predict: Callable[[Any, Arrays], Any]) -> None:
        self._load, self._predict = load, predict
        self._state: Any = None

    async def open(self, runtime: Runtime) -> None:
        made = await runtime.offload(lambda: called(self._load))  # off the loop, which answers meanwhile
        self._state = await awaited(made) if inspect.isawaitable(made) else made

    async def close(self) -> None:
        self._state = None

    async def call(self, inputs: Arrays, deadline: float | None) -> Any:
        answer = called(self._predict, self._state, inputs)
        return await awaited(answer) if inspect.isawaitable(answer) else answer


class OnThread:
    """In the runtime's threads; a call that was cancelled while it waited for a thread never begins."""

    def __init__(self, load: Callable[[], Any], predict: Callable[[Any, Arrays], Any]) -> None:
        self._load, self._predict = load, predict
        self._state: Any = None

    async def open(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._state = await runtime.offload(lambda: called(self._load))

    async def close(self) -> None:
        self._state = None

    async def call(self, inputs: Arrays, deadline: float | None) -> Any:
        clock, predict, state = self._runtime.clock, self._predict, self._state

        def work() -> Any:
            if deadline is not None and clock.monotonic() >= deadline:
                raise DeadlineExceeded  # it waited for a thread too long; do not begin
            return called(predict, state, inputs)

        return await self._runtime.offload(work)


def _place(run_on: str, load: Any, predict: Any, processes: int, name: str) -> Place:
    if run_on == "loop":
        return OnLoop(load, predict)
    if inspect.iscoroutinefunction(load) or inspect.iscoroutinefunction(predict):
        raise CompositionError(f"{name!r}: async functions run on the event loop only; use run_on='loop'")
    if run_on == "thread":
        return OnThread(load, predict)
    if run_on != "process":
        raise CompositionError(f"{name!r}: run_on must be 'loop', 'thread' or 'process', not {run_on!r}")
    from mlpatterns.models.python_process import OnProcesses

    return OnProcesses(load, predict, processes, name)
