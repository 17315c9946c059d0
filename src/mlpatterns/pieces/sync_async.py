"""SyncAsync: a fast model answers now, and a better model answers later, in a job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType, NoneType

import numpy as np
from msgspec.structs import replace

from mlpatterns.base import BasePredictor, name_of
from mlpatterns.context import Context
from mlpatterns.errors import InvalidInput, NotStarted, PredictionError
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import error_within
from mlpatterns.predictor import Caller, Health, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.user_errors import CompositionError

__all__ = ["SyncAsync"]

log = logging.getLogger("mlpatterns")

JOB_ID = TensorSpec("job_id", "BYTES", (-1,))
NO_JOB = b""


@piece(lambda inner, other: SyncAsync(inner, other), answers_later=True)
class SyncAsync(BasePredictor):
    """Returns the answer of `fast`, and queues the request with `slow`; the output `job_id` has the id of the job.

    If `fast` fails, there is no job, and its error is raised. If `slow` does not accept the request, the caller still
    gets the answer of `fast`; it is marked as degraded, its `job_id` is empty, and the log has the reason.

    Args:
        fast: answers now.
        slow: takes the same inputs and answers later: a JobQueue, or a Service with one.

    Raises:
        CompositionError: at construction: both have the same name.
        NotStarted: `fast` has no metadata yet, or has an output `job_id` itself.
    """

    depends_on_caller = True

    def __init__(self, fast: Predictor, slow: Predictor, *, name: str = "sync_async") -> None:
        parts = {name_of(part): part for part in (fast, slow)}
        if len(parts) < 2:
            raise CompositionError(f"the two parts of a SyncAsync are both called {fast.name!r}; give one another name")
        super().__init__(name, parts)
        self.fast, self.slow = fast, slow
        self.operations = (Operation("health/all", "query", "public", NoneType, dict[str, str], self._health),)
        self._described: tuple[ModelMetadata, ModelMetadata] | None = None  # the metadata of `fast`, and of this piece

    @property
    def metadata(self) -> ModelMetadata:
        fast = self.fast.metadata
        if self._described is None or self._described[0] is not fast:
            if JOB_ID.name in [spec.name for spec in fast.outputs]:
                raise NotStarted(self.name, f"{fast.name} has an output {JOB_ID.name} itself")
            outputs = (*fast.outputs, JOB_ID)
            self._described = fast, replace(fast, name=self.name, platform="sync_async", outputs=outputs)
        return self._described[1]

    def describe(self, context: Context) -> ModelMetadata:
        return self.metadata

    async def _health(self, _: None, caller: Caller) -> dict[str, str]:
        """The health of each part: `ok` if it could answer now, `ng` if not."""
        healths = await asyncio.gather(*[part.check() for part in self.children.values()])
        return {name: "ok" if health.ready else "ng" for name, health in zip(self.children, healths, strict=True)}

    def health(self) -> Health:
        return self._as_fast(self.fast.health(), self.slow.health())

    async def check(self) -> Health:
        return self._as_fast(await self.fast.check(), await self.slow.check())

    async def start(self, runtime: Runtime) -> None:
        self._path, self._described, self._said = runtime.path, None, ""
        self._unqueued = runtime.metrics.counter(
            "mlpatterns_sync_async_unqueued_total", "Answers without a job.", piece=runtime.path
        )

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        described, context = self.metadata, request.context.at(self._path)
        wanted = [name for name in request.outputs if name != JOB_ID.name]
        if request.outputs and not wanted:
            raise InvalidInput(f"{JOB_ID.name!r} comes with an output of the fast model; request one too")
        try:
            with context.step(self.fast.name) as inside:
                answer = await self.fast.predict(replace(request, context=inside, outputs=tuple(wanted)))
        except Exception as error:
            raise error_within(self.fast.name, error, "part") from error
        with context.step(self.slow.name) as inside:
            job = await self._queued(replace(request, context=inside, outputs=()))
        outputs: dict[str, Array] = dict(answer.outputs)
        if not request.outputs or JOB_ID.name in request.outputs:
            outputs[JOB_ID.name] = np.array([job], object)
        return replace(
            answer, outputs=MappingProxyType(outputs), model_name=described.name, identity=None,
            degraded=answer.degraded or job == NO_JOB, described=None,
        )  # fmt: skip

    async def _queued(self, request: InferenceRequest) -> bytes:
        """The id of the job, or empty bytes if there is none."""
        try:
            queued = await self.slow.predict(request)
            if queued.status == "accepted":
                job = queued.outputs[JOB_ID.name].item(0)
                self._said = ""
                return job if isinstance(job, bytes) else str(job).encode()
            self._say("it answers now; put it into a JobQueue, so that it answers later")
        except PredictionError as error:
            self._say(str(error))
        except NotStarted as error:
            self._say(error.reason)
        except Exception as error:
            log.exception("%r failed to take a request", self.slow.name)
            self._say(type(error).__name__)
        self._unqueued.inc()
        return NO_JOB

    def _say(self, why: str) -> None:
        """Logs each reason once, not for every request."""
        if why != self._said:
            self._said = why
            log.warning(
                "%s: answers come without a job, because %s accepts none now: %s", self.name, self.slow.name, why
            )

    def _as_fast(self, fast: Health, slow: Health) -> Health:
        """Ready if `fast` is ready; the reason also names what is wrong with `slow`."""
        health = self.overall_health([fast])
        reasons: Mapping[str, None] = dict.fromkeys(reason for reason in (health.reason, slow.reason) if reason)
        return Health(health.ready, "; ".join(reasons))
