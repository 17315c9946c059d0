"""The defaults of a predictor, so that one of your own is mostly its `predict`; and what the end of its work means."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from mlpatterns.context import NOTHING, Context
from mlpatterns.errors import CompositionError, ErrorCode, NotStarted, PredictionError, Unsupported
from mlpatterns.interfaces import Clock
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Operation, Predictor, Program, Runtime
from mlpatterns.user_code import kind_of

__all__ = ["CLIENT_LEFT", "BasePredictor", "Wrapper", "as_predictor", "ended", "name_of"]


class BasePredictor:
    """Constructors only store; `start` works. Healthy means: it has metadata, and so have all below it.

    Args:
        name: what notes, metrics and the paths of its operations call it, and what it is served as.
        children: what it wraps, by the name of each part.
    """

    apart: Collection[str] = ()
    operations: Sequence[Operation] = ()
    programs: Sequence[Program] = ()
    reads_headers: Collection[str] = ()

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
        """Ready if all below are and the metadata is known; all that is wrong is said."""
        reasons = [each.reason for each in below if each.reason]
        ready = all(each.ready for each in below)
        if ready:
            try:
                _ = self.metadata
            except NotStarted as error:
                return Health(False, "; ".join(reasons) or error.reason)
        return Health(ready, "; ".join(reasons))


class Wrapper(BasePredictor):
    """A piece around one predictor: same name, same metadata, same identity unless it says otherwise.

    Args:
        inner: the predictor that it wraps.
        name: by default that of `inner`.
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


def name_of(part: Predictor) -> str:
    """The name of a predictor that a piece is put around.

    Raises:
        CompositionError: it is none.
    """
    if isinstance(part, type) or not (hasattr(part, "predict") and isinstance(getattr(part, "name", None), str)):
        raise CompositionError(f"a piece goes around predictors, and {kind_of(part)} is none; {as_predictor(part)}")
    return part.name


def as_predictor(part: object) -> str:
    """How something that is no predictor becomes one, as the end of a sentence."""
    if isinstance(part, type):
        return f"give one that is made of it: {part.__name__}(…)"
    if isinstance(part, list | tuple | set | frozenset):
        return "several are put together by a FanOut or a Pipeline"
    if hasattr(part, "predict") or callable(part):
        return "make it one: PythonModel(predict=…, inputs=…, outputs=…)"
    return "a model's file or name becomes one by OnnxModel(…)"


CLIENT_LEFT: Literal["CLIENT_LEFT"] = "CLIENT_LEFT"
EARLY = 0.02  # seconds: a client's own clock may end a call of gRPC a little before ours would


def ended(error: BaseException, request: InferenceRequest, clock: Clock) -> ErrorCode | Literal["CLIENT_LEFT"]:
    """The code of an error; of a cancellation, whether the deadline of the request had passed or its client left."""
    if isinstance(error, PredictionError):
        return error.code
    if isinstance(error, NotStarted):
        return ErrorCode.UNAVAILABLE
    if not isinstance(error, asyncio.CancelledError):
        return ErrorCode.INTERNAL
    if request.deadline is not None and clock.monotonic() >= request.deadline - EARLY:
        return ErrorCode.DEADLINE
    return CLIENT_LEFT
