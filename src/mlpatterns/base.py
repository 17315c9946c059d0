"""The defaults of a predictor, so that your own class needs little more than `predict`; and how a request ended."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from mlpatterns.context import NOTHING, Context
from mlpatterns.errors import ErrorCode, NotStarted, PredictionError, Unsupported
from mlpatterns.interfaces import Clock
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Operation, Predictor, Program, Runtime
from mlpatterns.references import Reference
from mlpatterns.user_code import kind_of
from mlpatterns.user_errors import CompositionError

__all__ = ["CLIENT_LEFT", "BasePredictor", "Wrapper", "as_predictor", "ended", "name_of", "reference_of"]


class BasePredictor:
    """The defaults of a predictor. A constructor only stores its arguments; `start` does the work.

    It is healthy when it has metadata and all its children are healthy.

    Args:
        name: its name in notes, in metrics, in the paths of its operations, and as a served model.
        children: the predictors that it wraps, by name.
    """

    apart: Collection[str] = ()
    operations: Sequence[Operation] = ()
    programs: Sequence[Program] = ()
    reads_headers: Collection[str] = ()
    reference: Reference | None = None
    """The reference of the model that a leaf serves, or None."""

    def __init__(self, name: str, children: Mapping[str, Predictor] = NOTHING) -> None:
        self.name = name
        self.children: Mapping[str, Predictor] = dict(children)

    @property
    def metadata(self) -> ModelMetadata:
        raise NotStarted(self.name)

    @property
    def depends_on_caller(self) -> bool:
        return any(child.depends_on_caller for child in self.children.values())

    def describe(self, context: Context) -> ModelMetadata:
        return self.metadata

    def identity(self) -> str | None:
        return None

    def health(self) -> Health:
        return self.overall_health([child.health() for child in self._started_here()])

    async def check(self) -> Health:
        return self.overall_health([await child.check() for child in self._started_here()])

    async def start(self, runtime: Runtime) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        raise Unsupported(f"{self.name!r} does not predict")

    def _started_here(self) -> list[Predictor]:
        return [child for key, child in self.children.items() if key not in self.apart]

    def overall_health(self, below: Sequence[Health]) -> Health:
        """The health of this predictor: ready if all its children are ready and its metadata is known. The reason lists
        every problem. A piece that can answer without one of its children overrides this method.

        Args:
            below: the health of each child that runs in this process.
        """
        reasons = [each.reason for each in below if each.reason]
        ready = all(each.ready for each in below)
        if ready:
            try:
                _ = self.metadata
            except NotStarted as error:
                return Health(False, "; ".join(reasons) or error.reason)
        return Health(ready, "; ".join(reasons))


class Wrapper(BasePredictor):
    """A piece that wraps one predictor, and has its name, metadata and identity unless it overrides them.

    Args:
        inner: the predictor that it wraps.
        name: its own name; by default that of `inner`.
    """

    def __init__(self, inner: Predictor, name: str | None = None) -> None:
        super().__init__(name or name_of(inner), {"inner": inner})
        self.inner = inner

    @property
    def metadata(self) -> ModelMetadata:
        return self.inner.metadata

    def describe(self, context: Context) -> ModelMetadata:
        return self.inner.describe(context)

    def identity(self) -> str | None:
        return self.inner.identity()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await self.inner.predict(request)


def reference_of(predictor: Predictor) -> Reference | None:
    """The model reference of a predictor; None if it has none."""
    return predictor.reference if isinstance(predictor, BasePredictor) else None


def name_of(part: Predictor) -> str:
    """The name of `part`, a predictor that a piece will wrap.

    Raises:
        CompositionError: `part` is not a predictor.
    """
    if isinstance(part, type) or not (hasattr(part, "predict") and isinstance(getattr(part, "name", None), str)):
        raise CompositionError(f"a piece wraps predictors, and {kind_of(part)} is not one; {as_predictor(part)}")
    return part.name


def as_predictor(part: object) -> str:
    """How to turn `part` into a predictor: the last clause of an error text."""
    if isinstance(part, type):
        return f"give an instance of it: {part.__name__}(…)"
    if isinstance(part, list | tuple | set | frozenset):
        return "combine several with a FanOut or a Pipeline"
    if hasattr(part, "predict") or callable(part):
        return "make a predictor of it with PythonModel(predict=…, inputs=…, outputs=…)"
    return "make a predictor of a model's file or name with OnnxModel(…)"


CLIENT_LEFT: Literal["CLIENT_LEFT"] = "CLIENT_LEFT"
EARLY = 0.02  # seconds: the clock of a gRPC client may end a call a little before ours would


def ended(error: BaseException, request: InferenceRequest, clock: Clock) -> ErrorCode | Literal["CLIENT_LEFT"]:
    """The error code of a request that ended with `error`.

    A cancellation is DEADLINE if the deadline of the request had passed, and CLIENT_LEFT if the client has gone.

    Args:
        error: the exception that ended the request.
        request: the request.
        clock: the clock of its deadline.
    """
    if isinstance(error, PredictionError):
        return error.code
    if isinstance(error, NotStarted):
        return ErrorCode.UNAVAILABLE
    if not isinstance(error, asyncio.CancelledError):
        return ErrorCode.INTERNAL
    if request.deadline is not None and clock.monotonic() >= request.deadline - EARLY:
        return ErrorCode.DEADLINE
    return CLIENT_LEFT
