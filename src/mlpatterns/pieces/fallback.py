"""Fallback: if a model fails, another predictor answers instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from mlpatterns.base import CLIENT_LEFT, BasePredictor, ended, name_of
from mlpatterns.context import Context
from mlpatterns.errors import ErrorCode, NotStarted
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import ask_within
from mlpatterns.pieces.combined import CombinedMetadata
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.user_errors import CompositionError

__all__ = ["Fallback"]


@piece(lambda inner, _: Fallback(inner, inner), diagram="numbered")
class Fallback(BasePredictor):
    """Calls `predictor` and, if it fails, each of `rungs` in order until one succeeds.

    For example: ``Fallback(PredictionCache(CircuitBreaker(model), stale_if_error=600), cheaper, constant)``.

    Only faults lead to the next rung: INTERNAL, UNAVAILABLE, DEADLINE, and an open circuit breaker. A bad request stays
    a bad request, and a full queue stays OVERLOADED unless `on_overload` is set. The answer of a rung is marked as
    degraded and has the version and the identity of the rung. The note `fallback`, which the caller gets as
    ``x-mlp-fallback``, names the rung. If all fail, the caller gets the first error. No rung is tried after the
    deadline of the request; `timeout` reserves time for the rungs.

    Args:
        predictor: is called first.
        rungs: predictors with the same inputs, outputs and labels, in the order in which they are tried.
        timeout: the seconds that the model may take before a rung is tried; by default all of the caller's time.
        on_overload: whether a rung also answers if the model is only overloaded.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: at construction: there is no rung, or the timeout is not greater than 0; at the start: a rung
            has other inputs, outputs or labels.
    """

    def __init__(
        self,
        predictor: Predictor,
        *rungs: Predictor,
        timeout: float | None = None,
        on_overload: bool = False,
        name: str | None = None,
    ) -> None:
        own = name_of(predictor)
        if not rungs:
            raise CompositionError(f"a Fallback around {own!r} needs at least one other predictor to answer")
        if timeout is not None and not timeout > 0:
            raise CompositionError(f"the timeout of {own!r} must be more than 0 seconds")
        self._rungs = {f"rung_{number}": rung for number, rung in enumerate(rungs, 1)}
        super().__init__(name or own, {"model": predictor, **self._rungs})
        self.inner, self.timeout, self.on_overload = predictor, timeout, on_overload
        self._described = CombinedMetadata(self.name, self.children, self._describe)

    @property
    def metadata(self) -> ModelMetadata:
        """The metadata of the model; while it has none, that of the first rung that has some."""
        with suppress(NotStarted):
            return self._described.once_ready()
        for child in self.children.values():
            with suppress(NotStarted):
                return self._named(child.metadata)
        raise NotStarted(self.name)

    def describe(self, context: Context) -> ModelMetadata:
        with suppress(NotStarted):
            return self._named(self.inner.describe(context))
        return self.metadata

    def identity(self) -> str | None:
        """The identity of the model. A rung's answer has its own identity and is degraded, so no cache keeps it."""
        return self.inner.identity()

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Ready if the model or a rung is ready; the reason names what is wrong with the others."""
        whole = super().overall_health(below)
        return Health(whole.ready or any(health.ready for health in below), whole.reason)

    async def start(self, runtime: Runtime) -> None:
        self._path, self._clock = runtime.path, runtime.clock
        self._names: dict[int, tuple[ModelMetadata, ModelMetadata]] = {}
        self._described.forget()
        with suppress(NotStarted):  # a remote predictor may not be available yet
            self._described.of_all()
        self._answered = {
            key: runtime.metrics.counter(
                "mlpatterns_fallback_answers_total",
                "Answers that stood in for a model's.",
                piece=runtime.path,
                rung=key,
            )
            for key in self._rungs
        }

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        context = request.context.at(self._path)
        first: Exception | None = None
        try:
            for key, part in self.children.items():
                if first is not None and request.deadline is not None and self._clock.monotonic() >= request.deadline:
                    break
                try:
                    with context.step(key) as inside:
                        timeout = self.timeout if first is None else None
                        response = await ask_within(part.predict, request.within(inside), timeout, self._clock)
                except Exception as error:
                    if first is None and not self._may_stand_in(error, request):
                        raise
                    first = first or error
                else:
                    return self._own(response) if first is None else self._standing_in(key, part, response, context)
            assert first is not None
            raise first
        finally:
            del first  # its traceback refers to this frame; the cycle would keep the tensors until garbage collection

    def _may_stand_in(self, error: Exception, request: InferenceRequest) -> bool:
        code = ended(error, request, self._clock)
        return code != CLIENT_LEFT and (code.is_fault or (self.on_overload and code is ErrorCode.OVERLOADED))

    def _own(self, response: InferenceResponse) -> InferenceResponse:
        return response if response.model_name == self.name else replace(response, model_name=self.name)

    def _standing_in(
        self, key: str, rung: Predictor, response: InferenceResponse, context: Context
    ) -> InferenceResponse:
        context.note("fallback", rung.name, public=True)
        self._answered[key].inc()
        described = response.described or self._named(rung.describe(context))
        return replace(response, model_name=self.name, degraded=True, described=described)

    def _named(self, described: ModelMetadata) -> ModelMetadata:
        """`described` with the name of this piece; cached, so that the object stays the same."""
        if described.name == self.name:
            return described
        known = self._names.get(id(described))
        if known is None or known[0] is not described:
            known = self._names[id(described)] = described, replace(described, name=self.name)
        return known[1]

    def _describe(self, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
        model = parts["model"]
        for key in self._rungs:
            if (difference := _difference(model, parts[key])) is not None:
                raise CompositionError(
                    f"{parts[key].name!r} cannot answer in place of {model.name!r}: {difference} differ"
                )
        return self._named(model)


def _difference(model: ModelMetadata, rung: ModelMetadata) -> str | None:
    """What differs between the two, or None."""
    if _shapes(model.inputs) != _shapes(rung.inputs):
        return "the inputs that they take"
    if not _shapes(model.outputs) <= _shapes(rung.outputs) or model.primary_output != rung.primary_output:
        return "the outputs that they give"
    if model.labels != rung.labels:
        return "their labels"
    return "their thresholds" if model.threshold != rung.threshold else None


def _shapes(specs: Sequence[TensorSpec]) -> set[tuple[str, str, tuple[int, ...]]]:
    return {(spec.name, spec.datatype, spec.shape) for spec in specs}
